"""What a run ends with: the final model on the selected regions, and the upper bound on all labels."""

import json
from collections.abc import Callable
from typing import Any, Literal

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef, Recipe, TrainPlan
from ray_al.datasets import open_dataset
from ray_al.driver.cluster import connect
from ray_al.driver.loop import read_config
from ray_al.ledger import Journal, State, fold
from ray_al.train.trainer import open_trainer

Kind = Literal["final", "upper_bound"]


def train_final(
    run_uri: str,
    kind: Kind,
    *,
    progress: Callable[[int, int], None],
    should_stop: Callable[[], bool],
    waiting: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Train by the `final` section on the selected regions (`final`) or on every pool mask (`upper_bound`).

    Writes `<kind>/checkpoint/` and `<kind>/metrics.json`, which it returns.

    Raises:
        ConfigError: nothing is labelled yet, or the pool has no masks for an upper bound.
    """
    storage = Storage(run_uri)
    config, state = read_config(storage), fold(Journal(storage).events)
    dataset = open_dataset(config.data)
    if kind == "final" and not state.label_parts:
        raise ConfigError(f"{run_uri}: nothing is labelled yet; let the run label its start set first (`ray-al resume {run_uri}`)")
    if kind == "upper_bound" and any(image.mask_uri is None for image in dataset.splits["train"]):
        raise ConfigError(f"{run_uri}: an upper bound trains on every pool mask, and this pool has none; use `ray-al final`")
    plan = TrainPlan(
        cycle=state.cycle,
        attempt=state.term,
        seed=config.seed,
        label_parts=state.label_parts if kind == "final" else (),
        output=f"{kind}/checkpoint",
        progress=f"{kind}/progress.pt",
        all_masks=kind == "upper_bound",
        splits=tuple(split for split in ("val", "test") if split in dataset.splits),
        recipe=Recipe(**config.final.model_dump()),
        sieve=_sieve(config, state) if kind == "final" else None,
    )
    storage.remove(f"{kind}/checkpoint")
    alone = {"cluster": config.cluster.model_copy(update={"host": "process"}), "score": config.score.model_copy(update={"workers": 0})}
    with connect(config.model_copy(update=alone), should_stop=should_stop):
        trainer = open_trainer(config, storage.root, state.term, kind=kind)
        try:
            result = trainer.train(plan, progress=progress, should_stop=should_stop, waiting=waiting)
        finally:
            trainer.close()
    storage.remove(plan.progress)
    values = {
        "kind": kind,
        "metrics": {split: metrics.as_dict() for split, metrics in result.metrics.items()},
        "num_steps": result.num_steps,
        "num_images": result.num_images,
        "train_seconds": result.train_seconds,
        "files": {name: ref.as_dict() for name, ref in result.files.items()},
    }
    storage.replace(f"{kind}/metrics.json", json.dumps(values, indent=1).encode())
    _write_share(storage)
    return dict(json.loads(storage.read(f"{kind}/metrics.json")))


def _sieve(config: RunConfig, state: State) -> FileRef | None:
    """The last cycle's model, where dominant labels are sieved."""
    cycles = [cycle for cycle in state.trained if cycle >= 0]
    return FileRef.from_dict(state.trained[max(cycles)]["files"]["model.pt"]) if config.label.sieve and cycles else None


def _write_share(storage: Storage) -> None:
    """Once both are there, the final metrics name their share of the full score."""
    paths = {kind: f"{kind}/metrics.json" for kind in ("final", "upper_bound")}
    if not all(storage.exists(path) for path in paths.values()):
        return
    values = {kind: json.loads(storage.read(path)) for kind, path in paths.items()}
    full = values["upper_bound"]["metrics"]["val"]["miou"]
    values["final"]["share_of_full_score"] = values["final"]["metrics"]["val"]["miou"] / full if full else None
    storage.replace(paths["final"], json.dumps(values["final"], indent=1).encode())
