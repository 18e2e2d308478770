"""A whole run whose start set and queries are chosen by a user's own rules."""

from typing import ClassVar

import numpy as np
import pytest

from ray_al.core.config import parse_config
from ray_al.core.families.start import StartRule
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.datasets.synthetic import write_synthetic
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop
from ray_al.driver.pool import read_table
from ray_al.driver.verify import verify
from ray_al.ledger import Journal
from ray_al.ledger.config import read_config
from ray_al.select.rules import CandidateRule
from ray_al.select.starts.random import RandomStart


class EverySecond(CandidateRule):
    """Every second candidate by score, from the best on."""

    kind: str = f"{__name__}:EverySecond"
    paper: ClassVar[str] = "of our own"
    reads_features: ClassVar[bool] = False
    first: int = 0

    def choose(self, candidates, *, k, rng):
        order = np.argsort(-candidates.keys, kind="stable")
        return np.concatenate([order[self.first :: 2], order[1 - self.first :: 2]])[:k]


class ModelStart(StartRule):
    """What the untrained model finds hardest, by the rule above."""

    kind: str = f"{__name__}:ModelStart"
    paper: ClassVar[str] = "of our own"
    needs_model: ClassVar[bool] = True
    first: int = 1

    def strategy(self, later):
        return later.of_start(
            acquisition="entropy",
            batch={"kind": EverySecond.model_fields["kind"].default, "first": self.first},
        )


class SeededStart(RandomStart):
    """A quarter at random, then as the strategy has it."""

    kind: str = f"{__name__}:SeededStart"  # type: ignore[assignment]
    needs_model: ClassVar[bool] = True
    follows_strategy: ClassVar[bool] = True
    share: float = 0.25

    @property
    def seed_part(self):
        return self.share

    def strategy(self, later):
        return later


@pytest.mark.parametrize(
    ("start", "cycles"),
    [
        (f"{__name__}:ModelStart", [-1, 0]),
        ({"kind": f"{__name__}:SeededStart", "share": 0.5}, [-2, -1, 0]),
    ],
)
def test_a_run_by_rules_of_ones_own(tmp_path, start, cycles):
    write_synthetic(str(tmp_path / "data"), num_images=8, seed=0)
    values = {
        "data": {"dataset": "synthetic", "root": str(tmp_path / "data"), "image_size": [32, 48]},
        "model": {"name": "helpers.networks:plain"},
        "regions": {"rows": 2, "columns": 2},
        "train": {"steps": 2, "batch_size": 2, "workers": 0, "threads": 1},
        "scoring": {"workers": 0, "threads": 1, "batch_size": 2, "precision": "fp32"},
        "strategy": {
            "acquisition": "entropy",
            "batch": {"kind": f"{__name__}:EverySecond", "candidates": 20},
        },
        "budget": {"start": 4, "start_rule": start, "per_cycle": 4, "amount": 8},
        "cluster": {"host": "process"},
        "report": {"num_images": 1},
    }
    config = parse_config(values, source="test")
    run = create_run(config, str(tmp_path / "run"))
    assert run_loop(run).kind == "finished"
    assert verify(run)["labelled_regions"] == 8
    storage = Storage(run)
    events = Journal(storage).events
    stored = read_config(storage, events)
    assert (stored.strategy, stored.budget) == (config.strategy, config.budget)
    chosen = [event.data for event in events if event.kind == "query_selected"]
    assert [one["cycle"] for one in chosen] == cycles
    reasons = [
        set(read_table(storage, FileRef.from_dict(one["query"]))["reason"].to_pylist())
        for one in chosen
    ]
    assert reasons == [
        {f"{__name__}:EverySecond"} if cycle > -2 else {"random start"} for cycle in cycles
    ]
