"""What a comparison says in a terminal."""

from ray_al.compare.facts import Excluded
from ray_al.compare.text import apart_lines


def test_many_runs_set_apart_for_one_reason_take_one_line() -> None:
    unborn = [Excluded(run=f"runs/{n}", reason="has not trained a model yet") for n in range(4)]
    other = Excluded(run="runs/other", reason="train.steps is 3, the others' 2")
    assert apart_lines([*unborn[:3], other]) == [
        "set apart: runs/0: has not trained a model yet",
        "set apart: runs/1: has not trained a model yet",
        "set apart: runs/2: has not trained a model yet",
        "set apart: runs/other: train.steps is 3, the others' 2",
    ]
    assert apart_lines([other, *unborn]) == [
        "set apart: runs/other: train.steps is 3, the others' 2",
        "set apart: 4 runs, such as runs/0: has not trained a model yet",
    ]
