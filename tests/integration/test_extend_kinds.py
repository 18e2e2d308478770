"""Runs of many kinds that get images and a class after they ended, and go on."""

from pathlib import Path
from typing import Any

import pytest
from helpers.extended_runs import configure_five, done, put_away
from helpers.run_reading import state_of

from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop

BALD = {"acquisition": "bald"}
BACKBONE = {"kind": "helpers.tiny_backbones:TinyBackbone"}
SUPERPIXELS = {"kind": "superpixels", "count": 6}
KINDS: dict[str, dict[str, Any]] = {
    "windows": {"regions": {"kind": "windows"}},
    "ensemble": {"strategy": {**BALD, "passes": {"kind": "ensemble", "count": 2}}},
    "snapshots": {"strategy": {**BALD, "passes": {"kind": "snapshots", "count": 2}}},
    "dropout": {"strategy": {**BALD, "passes": {"kind": "dropout", "count": 2}}},
    "class_balanced": {"strategy": {"acquisition": "class_balanced"}},
    "lazy": {"strategy": {"acquisition": "entropy", "lazy": {"share": 0.5, "check": 0.5}}},
    "sieve": {"regions": SUPERPIXELS, "label": {"kind": "dominant", "sieve": True}},
    "frozen": {"model": {"kind": "composed", "backbone": BACKBONE}},
    "measured": {"final": {"budgets": [8], "repeats": 2, "train": {"steps": 2}}},
}


PARAMETERS = [
    pytest.param(kind, marks=() if kind == "frozen" else pytest.mark.slow) for kind in KINDS
]


@pytest.mark.parametrize("kind", PARAMETERS)
@pytest.mark.usefixtures("small_shards")
def test_it_goes_on_with_images_and_a_class(kind: str, root: Path) -> None:
    later = put_away(root)
    run = create_run(configure_five(root, **KINDS[kind]), str(root / "run"))
    assert run_loop(run).kind == "finished"
    later.come()
    done("extend", run, "--add-class", "sign=5", "--budget", 16)
    assert run_loop(run).kind == "finished"
    (root / "data" / "train" / later.names[0]).unlink()
    done("extend", run, "--budget", 20)
    assert run_loop(run).kind == "finished"
    done("verify", run)
    state = state_of(run)
    assert state.spent == 20 and state.removed == {f"train/{later.names[0]}"}
    known = [len(cycle.class_pixels) for cycle in state.cycles]
    assert known == [5, 5, 5, 6, 6]
    if kind == "frozen":
        parts = set(state.embedded_shards.values())
        assert parts and all((root / "run" / "features" / f"{name}.npy").exists() for name in parts)


@pytest.mark.slow
def test_pixels_are_asked_for_in_images_that_joined(root: Path) -> None:
    later = put_away(root)
    budget = {"start": 40, "per_cycle": 20, "amount": 60}
    config = configure_five(root, regions={"kind": "pixels"}, budget=budget)
    run = create_run(config, str(root / "run"))
    assert run_loop(run).kind == "finished"
    later.come()
    done("extend", run, "--budget", 100)
    assert run_loop(run).kind == "finished"
    done("verify", run)
    assert state_of(run).spent == 100
