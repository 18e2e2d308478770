"""Scores per second of labelling, against what the files of a run say."""

import numpy as np
import pytest
from helpers.run_reading import labels_of, state_of
from helpers.strategies import CASES, configure
from scipy.optimize import nnls

from ray_al.core.errors import ConfigError
from ray_al.core.storage import Storage
from ray_al.datasets.synthetic import write_synthetic
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop
from ray_al.driver.pool import read_table
from ray_al.replay.run import replay

CLICK, CLASS, REGION = 0.7, 0.9, 1.5  # and no seconds to open an image, in CASES


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("label_time")
    write_synthetic(str(root / "data"), num_images=8, seed=0)
    return root


@pytest.fixture(scope="module")
def finished(root):
    run_dir = create_run(configure(root, CASES["label_time"]), str(root / "run"))
    assert run_loop(run_dir).kind == "finished"
    return run_dir


def rows_by_cycle(run_dir):
    """Return for each cycle its scored regions by name, and the rows of its query."""
    storage, state = Storage(run_dir), state_of(run_dir)
    scored = {
        cycle: {
            (row["image_id"], row["region"]): row
            for ref in refs.values()
            for row in read_table(storage, ref).to_pylist()
        }
        for cycle, refs in state.scores.items()
    }
    chosen = {query.cycle: read_table(storage, query.file).to_pylist() for query in state.queries}
    return scored, chosen


def named(rows):
    return [(row["image_id"], row["region"]) for row in rows]


def test_scores_are_divided_by_seconds_that_earlier_labels_teach(finished):
    scored, chosen = rows_by_cycle(finished)
    clicks = {(row["image_id"], row["region"]): row["clicks"] for row in labels_of(finished)}
    assert sorted(chosen) == [-1, 0, 1, 2]
    raw = {name: row["score"] for name, row in scored[0].items()}
    assert [row["score"] for row in chosen[0]] == sorted(raw.values(), reverse=True)[:12]
    for cycle in (1, 2):
        pairs = [
            (scored[earlier][name]["outline"], clicks[name])
            for earlier in range(cycle)
            for name in named(chosen[earlier])
        ]
        outlines, taken = np.array(pairs).T
        line, _ = nnls(np.stack([np.ones(len(pairs)), outlines], axis=1), taken)
        per_second = {
            name: row["score"]
            / (REGION + CLASS + CLICK * (max(1, line[0] + line[1] * row["outline"]) - 1))
            for name, row in scored[cycle].items()
        }
        best = sorted(per_second.values(), reverse=True)[:12]
        assert [row["score"] for row in chosen[cycle]] == pytest.approx(best, rel=1e-4)
        assert [per_second[name] for name in named(chosen[cycle])] == pytest.approx(best, rel=1e-4)


def test_queries_of_one_cycle_compare_the_same_scores(root):
    """Budgets of clicks, which show late, ask several times a cycle."""
    clicks = {"unit": "clicks", "start": 100, "per_cycle": 150, "amount": 700}
    changes = {**CASES["label_time"], "budget": clicks}
    run_dir = create_run(configure(root, changes), str(root / "clicks"))
    assert run_loop(run_dir).kind == "finished"
    storage, state = Storage(run_dir), state_of(run_dir)
    scored, _ = rows_by_cycle(run_dir)
    last = max(query.cycle for query in state.queries)
    rows = [
        read_table(storage, query.file).to_pylist()
        for query in state.queries
        if query.cycle == last
    ]
    assert len(rows) > 1
    known = [
        (scored[last][name]["outline"], scored[last][name]["score"] / row["score"])
        for query in rows
        for name, row in zip(named(query), query, strict=True)
    ]
    outlines, seconds = np.array(known).T
    slopes, _ = nnls(np.stack([np.ones(len(known)), outlines], axis=1), seconds)
    assert seconds == pytest.approx(slopes[0] + slopes[1] * outlines, rel=1e-4)


def test_replay_chooses_with_other_seconds_and_without(finished):
    assert {cycle.overlap for cycle in replay(finished, []).cycles} == {1.0}
    without = replay(finished, ["strategy.label_time=null"]).cycles
    assert without[0].overlap == 1.0
    assert min(cycle.overlap for cycle in without) < 1.0
    slow = replay(finished, ["strategy.label_time.click=100"]).cycles
    assert min(cycle.overlap for cycle in slow) < 1.0


def test_replay_needs_the_outlines_that_a_run_stored(root):
    changes = {**CASES["label_time"], "strategy": {"acquisition": "bvsb"}}
    run_dir = create_run(configure(root, changes), str(root / "plain"))
    run_loop(run_dir)
    with pytest.raises(ConfigError, match=r"strategy\.label_time needs the outlines"):
        replay(run_dir, ["strategy.label_time={}"])
