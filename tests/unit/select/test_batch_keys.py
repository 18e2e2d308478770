from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from helpers.scored_parts import names
from helpers.scored_parts import ranked as ranked_by

from ray_al.core.errors import RayALError
from ray_al.core.families.batch import BATCH_RULES, Moment
from ray_al.core.seeding import seed_of, uniform_of
from ray_al.core.types import SCORE_SCHEMA
from ray_al.select.noise import gumbel_rows, uniform_rows
from ray_al.select.power import power_keys
from ray_al.select.rules import KeyedRule
from ray_al.select.sharpness import beta_at
from ray_al.select.softmax import softmax_keys
from ray_al.select.softrank import softrank_keys

REGIONS = 4
MOMENT = Moment(seed=0, cycle=1, num_cycles=2)


def keyed(kind: str) -> KeyedRule:
    """Return a rule that ranks by keys, with its default settings."""
    rule = BATCH_RULES.parse({"kind": kind})
    assert isinstance(rule, KeyedRule)
    return rule


def pool(scores):
    rows = [
        {
            "image_index": i // REGIONS,
            "image_id": f"i{i // REGIONS:03d}",
            "region": i % REGIONS,
            "score": score,
            "num_pixels": 10,
        }
        for i, score in enumerate(scores)
    ]
    return pa.Table.from_pylist(rows, schema=SCORE_SCHEMA)


def ranked(parts, k, kind, beta=1.0, cycle=2, **options):
    sharpness = {} if kind == "topk" else {"beta": beta}
    return ranked_by(parts, k, cycle=cycle, kind=kind, **sharpness, **options)


@pytest.mark.parametrize("kind", ["topk", "power", "softmax", "softrank"])
@pytest.mark.parametrize("shard", [1, 7, 40])
def test_the_same_choice_for_any_parts_and_row_order(kind, shard):
    rng = np.random.default_rng(0)
    whole = pool(rng.integers(1, 20, 120) / 20)  # many ties
    shuffled = whole.take(pa.array(rng.permutation(len(whole))))
    parts = [shuffled.slice(i, shard) for i in range(0, len(whole), shard)]
    assert names(ranked(parts, 37, kind)) == names(ranked([whole], 37, kind))


def drawn_for(purpose, row, *, seed, cycle):
    """The draw of a row, found alone."""
    return uniform_of(
        seed_of(purpose, seed, cycle, row["image_id"]), np.array([row["region"]])
    ).item()


def test_noise_belongs_to_the_name():
    whole = pool(np.ones(40))
    some = whole.take(pa.array([37, 3, 38, 2, 1]))
    drawn = uniform_rows(some, "power", 5, 3)
    assert drawn.tolist() == [drawn_for("power", row, seed=5, cycle=3) for row in some.to_pylist()]
    assert len(uniform_rows(whole.slice(0, 0), "power", 5, 3)) == 0


def test_no_two_rules_seeds_or_cycles_share_noise():
    whole = pool(np.ones(40))
    drawn = [
        uniform_rows(whole, *key)
        for key in (("power", 5, 3), ("softmax", 5, 3), ("power", 6, 3), ("power", 5, 4))
    ]
    assert len(np.unique(drawn)) == 4 * 40
    keys = {kind: keyed(kind).keys(whole, Moment(seed=5, cycle=3)) for kind in ("power", "softmax")}
    assert keys["power"].tolist() == gumbel_rows(whole, "power", 5, 3).tolist()
    assert keys["softmax"].tolist() == (1 + gumbel_rows(whole, "softmax", 5, 3)).tolist()


def test_keys_are_the_formulas():
    table, beta = pool([0.3, -1.0, 2.0, 0.0, 0.7]), 3.0
    for rule, base in (
        ("softmax", lambda i: beta * table["score"][i].as_py()),
        ("softrank", lambda i: -np.log(i + 1)),
    ):
        keys = {"softmax": softmax_keys, "softrank": softrank_keys}[rule](table, beta, 9, 4)
        for i, row in enumerate(table.to_pylist()):
            gumbel = -np.log(-np.log(drawn_for(rule, row, seed=9, cycle=4)))
            assert keys[i] == pytest.approx(
                base(i) + (gumbel if rule == "softmax" else gumbel / beta), rel=1e-12
            )


def test_a_score_below_zero_has_no_power():
    with pytest.raises(
        RayALError,
        match=r"strategy.batch.kind='power': 2 scores are below 0, down to -3, .*softrank",
    ):
        power_keys(pool([0.3, -1.0, 2.0, -1e-7, -3.0]), 1.0, 0, 0)


@pytest.mark.parametrize(
    ("keys_of", "beta", "weights"),
    [
        (softmax_keys, 1.5, np.exp(1.5 * np.array([1.3, 0.9, 0.4, 0.1]))),
        (softrank_keys, 2.0, 1 / np.array([1.0, 2.0, 3.0, 4.0]) ** 2),
    ],
)
def test_draws_in_proportion(keys_of, beta, weights):
    table = pool([1.3, 0.9, 0.4, 0.1])
    first = [keys_of(table, beta, 1, cycle).argmax() for cycle in range(3000)]
    assert np.abs(np.bincount(first, minlength=4) / 3000 - weights / weights.sum()).max() < 0.03


def test_ranks_end_at_the_number_of_candidates():
    table = pool(np.arange(40.0))
    drawn = {
        name
        for cycle in range(50)
        for name in names(ranked([table], 2, "softrank", 0.01, cycle, candidates=5))
    }
    assert drawn == {(f"i{i // REGIONS:03d}", i % REGIONS) for i in range(35, 40)}
    assert len(ranked([table], 8, "softrank", candidates=5)) == 8


@pytest.mark.parametrize("kind", ["softmax", "softrank"])
def test_a_sharp_draw_is_topk(kind):
    scores = np.random.default_rng(2).permutation(np.arange(1.0, 81.0))
    assert names(ranked([pool(scores)], 10, kind, 1e6)) == names(ranked([pool(scores)], 10, "topk"))


def test_beta_grows_a_hundredfold():
    assert [beta_at(2.0, "exponential", cycle, 5) for cycle in (0, 2, 4)] == pytest.approx(
        [2.0, 20.0, 200.0]
    )
    assert [beta_at(2.0, "exponential", cycle, 5) for cycle in (-1, 9)] == pytest.approx(
        [2.0, 200.0]
    )
    assert beta_at(2.0, "exponential", 0, 1) == beta_at(2.0, "constant", 3, 5) == 2.0


class Unsure(KeyedRule):
    """Gives no number to some regions."""

    kind: str = "test:Unsure"

    def keys(self, part, moment):
        return np.where(np.arange(len(part)) % 2, np.nan, 1.0)


def test_keys_of_own_rules_that_hold_nan_are_refused():
    scored = SimpleNamespace(parts=lambda: [pool([0.5, 0.2])], moment=MOMENT)
    with pytest.raises(RayALError, match="strategy.batch.kind=test:Unsure: its keys hold nan"):
        Unsure().rank(scored, k=1)
