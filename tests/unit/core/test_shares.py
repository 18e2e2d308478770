"""Shares of counts, where binary fractions fall a whole one short or go one too far."""

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from helpers.records import cycle_trained, run_created

from ray_al.core.config import parse_config
from ray_al.core.errors import RayALError
from ray_al.core.shares import exact
from ray_al.core.strategy import LazyConfig
from ray_al.core.types import SCORE_SCHEMA, FileRef
from ray_al.driver.actions import train
from ray_al.driver.actions.close import Close
from ray_al.driver.actions.wait import Wait
from ray_al.driver.context import check_quarantine
from ray_al.driver.decide import decide
from ray_al.ledger import Query, State
from ray_al.select.candidates import Candidates
from ray_al.select.class_split import class_split
from ray_al.select.lazy import pick_images
from ray_al.sweep.config import SchedulerConfig
from ray_al.sweep.schedulers import rungs_of

REF = FileRef.of("q", b"")


def test_a_share_is_the_fraction_that_is_written():
    assert exact(0.1) * 3 == Fraction(3, 10) != Fraction(0.1) * 3
    assert exact(1e-7) == Fraction(1, 10_000_000)
    assert exact(1) == 1


@pytest.mark.parametrize(
    ("every", "amount"), [(0.1, 10), (0.1, 100), (0.05, 20), (0.2, 1000), (0.01, 300), (0.7, 10)]
)
def test_extra_epochs_come_each_time_that_another_part_of_the_budget_is_spent(every, amount):
    config = parse_config(
        {"train": {"steps": None, "epochs": 1, "extra_epochs": 5, "extra_every": every}},
        source="test",
    )
    extra = []
    for spent in range(1, amount + 1):
        state = State(
            created=run_created(amount=amount),
            spent=spent,
            trained={spent - 1: cycle_trained(spent - 1, cost=spent - 1)},
        )
        if train._is_extra(SimpleNamespace(config=config, state=state), spent):
            extra.append(spent)
    step = exact(every) * amount
    assert extra == [-int(-number * step // 1) for number in range(1, int(1 / exact(every)) + 1)]


@pytest.mark.parametrize(
    ("share", "num", "enough"),
    [(0.55, 100, 55), (0.07, 100, 7), (0.7, 10, 7), (0.29, 100, 29), (1.0, 7, 7)],
)
def test_a_share_of_answers_is_enough(share, num, enough):
    config = parse_config(
        {"label": {"annotator": {"kind": "files", "share": share}}}, source="test"
    )
    query = Query(cycle=-1, file=REF, num_regions=num, cost=num, tasks="t", collected_in_attempt=1)
    state = State(created=run_created(amount=1000), attempt=1, reserved=num, queries=(query,))
    assert decide(replace(state, queries=(replace(query, answered=enough),)), config) == Close(-1)
    assert decide(replace(state, queries=(replace(query, answered=enough - 1),)), config) == Wait(
        "t"
    )


@pytest.mark.parametrize(
    ("share", "num", "picked"), [(0.07, 100, 7), (0.55, 100, 55), (0.5, 3, 2), (0.14, 50, 7)]
)
def test_lazy_scoring_picks_a_share_of_the_images(share, num, picked):
    chosen, check = pick_images(
        np.arange(num, dtype=np.float32),
        np.ones(num, dtype=bool),
        LazyConfig(share=share),
        seed=0,
        cycle=1,
    )
    assert chosen.sum() == picked
    assert not (chosen & check).any()


@pytest.mark.parametrize(
    ("share", "k", "by_class"),
    [(0.66, 50, 33), (0.575, 20, 12), (0.35, 10, 4), (0.285, 100, 28), (0.145, 200, 29)],
)
def test_classes_get_their_share_of_a_query(share, k, by_class):
    rows = [
        {"image_index": i, "image_id": f"{i:04d}", "region": 0, "score": 0.0, "num_pixels": 1}
        for i in range(400)
    ]
    keys = np.arange(400.0)
    empty = np.zeros((400, 0), dtype=np.float32)
    candidates = Candidates(
        table=pa.Table.from_pylist(rows, schema=SCORE_SCHEMA),
        keys=keys,
        features=empty,
        probabilities=empty,
        labelled=empty[:0],
    )
    chosen = class_split(candidates, k=k, class_scores=1 + keys[::-1, None], share=share)
    assert int((chosen < 200).sum()) == by_class


def test_as_many_images_may_break_as_the_share_says():
    config = parse_config({"scoring": {"max_quarantined": 0.29}}, source="test")
    check_quarantine({f"i{number}": "broken" for number in range(29)}, config, 100)
    with pytest.raises(RayALError, match="30 of 100"):
        check_quarantine({f"i{number}": "broken" for number in range(30)}, config, 100)


@pytest.mark.parametrize(("first", "num"), [(0.1, 10), (0.02, 50), (0.07, 14), (0.3, 3), (1.0, 1)])
def test_the_median_rule_compares_at_whole_multiples(first, num):
    sweep = SimpleNamespace(name="s", scheduler=SchedulerConfig(kind="median", first=first))
    assert rungs_of(sweep) == [float(exact(first) * number) for number in range(1, num + 1)]


def test_preview_images_are_those_with_most_regions_in_the_start_set(monkeypatch):
    """Counted in one pass: a count for each of a million names would take hours."""
    ids = [f"i{number % 7:03d}" for number in range(20)] + [
        f"j{number:06d}" for number in range(200_000)
    ]
    monkeypatch.setattr(
        train, "read_table", lambda storage, file, columns: pa.table({"image_id": ids})
    )
    pool = SimpleNamespace(
        manifest=pa.table({"uri": [f"u{number}" for number in range(7)]}),
        indices_of=lambda names: [int(n[1:]) for n in names],
    )
    context = SimpleNamespace(
        storage=None,
        state=State(queries=(Query(cycle=-1, file=REF, num_regions=1, cost=1),)),
        pool=pool,
        config=parse_config({}, source="test"),
    )
    assert [image.image_id for image in train._preview_images(context)] == [
        "i000",
        "i001",
        "i002",
        "i003",
    ]
    assert [image.uri for image in train._preview_images(context)] == ["u0", "u1", "u2", "u3"]
