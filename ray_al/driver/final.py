"""What a run ends with: the final model on the selected regions, and the upper bound on all labels."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from ray_al.core.config import RunConfig
from ray_al.core.errors import BrokenImagesError, ConfigError
from ray_al.core.notes import read_note
from ray_al.core.run_dir import ResultDir, RunDir
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef, TrainPlan, TrainResult
from ray_al.datasets import Dataset, open_dataset
from ray_al.datasets.catalog import with_root
from ray_al.driver.cluster import connect
from ray_al.driver.context import check_quarantine, check_validation
from ray_al.driver.lease import STALE_S, Lease
from ray_al.driver.measure import measured_facts, measured_splits, repeat_seed, summary
from ray_al.driver.pool import Pool
from ray_al.driver.quarantine import look
from ray_al.ledger import Journal, State, fold
from ray_al.ledger.config import read_config
from ray_al.report.metrics import mean_miou, read_metrics
from ray_al.train.trainer import Trainer, open_trainer

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

    Writes `<kind>/checkpoint/` and `<kind>/metrics.json`, which it returns. The checkpoint of an earlier training stays until `metrics.json`
    names the new one. Of several models (`final.repeats`) the first one's checkpoint is kept, whichever is best: to choose one by its
    score on the validation images would make that score too high.

    Raises:
        ConfigError: nothing is labelled yet, or the pool has no masks for an upper bound.
        RunHeldError: another process is at the same training.
        Interrupted: `should_stop` said so.
    """
    storage = Storage(run_uri)
    events = Journal(storage).events
    config, state = with_root(read_config(storage, events)), fold(events)
    dataset, pool = open_dataset(config.data), Pool(storage, state, config)
    check_validation(dataset, state, config)
    if kind == "final" and not state.label_parts:
        raise ConfigError(
            f"{run_uri}: nothing is labelled yet; let the run label its start set first (`ray-al resume {run_uri}`)"
        )
    if kind == "upper_bound" and any(image.mask_uri is None for image in dataset.splits["train"]):
        raise ConfigError(
            f"{run_uri}: an upper bound trains on every pool mask, and this pool has none; use `ray-al final`"
        )
    with Lease(
        storage,
        ResultDir(kind).lease,
        held=f"trains the {kind} model of this run; wait until it is done, or end it first",
    ).acquire():
        files, values = _train(
            pool, state, dataset, kind, progress=progress, should_stop=should_stop, waiting=waiting
        )
        with Lease(storage, RunDir.METRICS_LEASE).acquire(
            patience_s=2 * STALE_S
        ):  # the other kind's command writes the share, too
            storage.replace(
                ResultDir(kind).metrics, json.dumps(values, indent=1, allow_nan=False).encode()
            )
            storage.remove(ResultDir(kind).models)
            _write_share(storage)
            values = dict(json.loads(storage.read(ResultDir(kind).metrics)))
        _keep_only(storage, ResultDir(kind).checkpoint, files)
    return values


def _train(
    pool: Pool, state: State, dataset: Dataset, kind: Kind, **asked: Any
) -> tuple[list[FileRef], dict[str, Any]]:
    """The files of the new checkpoint, which lie beside those of an earlier one, and what `metrics.json` is to say.

    Args:
        asked: what `Trainer.train` takes beside a plan.
    """
    storage, config = pool.storage, pool.config
    plan = _plan(pool, state, dataset, kind)
    alone = {
        "cluster": config.cluster.model_copy(update={"host": "process"}),
        "score": config.score.model_copy(update={"workers": 0}),
    }
    with connect(config.model_copy(update=alone), should_stop=asked["should_stop"]):
        trainer = open_trainer(config, storage.root, state.term, kind=kind)
        try:
            models = _train_models(trainer, plan, pool, state, kind, **asked)
        finally:
            trainer.close()
    storage.remove(plan.progress)
    return [FileRef.from_dict(ref) for ref in models[0]["files"].values()], {
        "kind": kind,
        **_facts(models),
    }


def _train_models(
    trainer: Trainer, plan: TrainPlan, pool: Pool, state: State, kind: Kind, **asked: Any
) -> list[dict[str, Any]]:
    """What is known of each model; those that an interrupted command had done for the same plan are taken over."""
    storage, config = pool.storage, pool.config
    models = _done_before(storage, kind, plan)
    for repeat in range(len(models), config.final.num_repeats):
        plan = replace(plan, seed=repeat_seed(config, repeat), keeps_model=repeat == 0)
        plan, result = _train_usable(
            trainer, plan, pool, state, **_of_repeat(config, repeat, **asked)
        )
        files = {name: ref.as_dict() for name, ref in result.files.items()}
        models.append({**measured_facts(result), "left_out": len(plan.left_out), "files": files})
        storage.replace(
            ResultDir(kind).models,
            json.dumps({"plan": _digest(plan), "models": models}, allow_nan=False).encode(),
        )
    return models[: config.final.num_repeats]


def _done_before(storage: Storage, kind: Kind, plan: TrainPlan) -> list[dict[str, Any]]:
    note = read_note(storage, ResultDir(kind).models)
    models = note.get("models", []) if note.get("plan") == _digest(plan) else []
    return (
        list(models)
        if models and all(storage.exists(ref["path"]) for ref in models[0]["files"].values())
        else []
    )


def _digest(plan: TrainPlan) -> str:
    """Names what all models of a plan are trained on and how."""
    alike = replace(plan, attempt=0, seed=0, keeps_model=True)
    return hashlib.sha256(repr(alike).encode()).hexdigest()


def _plan(pool: Pool, state: State, dataset: Dataset, kind: Kind) -> TrainPlan:
    config = pool.config
    return TrainPlan(
        cycle=state.cycle,
        attempt=_next_attempt(pool.storage, ResultDir(kind).checkpoint),
        seed=config.seed,
        label_parts=state.label_parts if kind == "final" else (),
        left_out=_still_broken(pool, kind),
        output=ResultDir(kind).checkpoint,
        progress=ResultDir(kind).progress,
        all_masks=kind == "upper_bound",
        splits=measured_splits(dataset),
        recipe=config.final.recipe,
        sieve=_sieve(config, state) if kind == "final" else None,
    )


def _of_repeat(
    config: RunConfig, repeat: int, *, progress: Callable[[int, int], None], **asked: Any
) -> dict[str, Any]:
    """What `Trainer.train` is asked for one of several models, whose steps count on."""
    count = config.final.num_repeats
    return {"progress": lambda done, total: progress(repeat * total + done, count * total), **asked}


def _facts(models: list[dict[str, Any]]) -> dict[str, Any]:
    """`metrics` and `files` are those of the first model; `models` has the metrics of each, `miou` and `spread` are of all of them."""
    first = models[0]
    return {
        **{key: first[key] for key in ("metrics", "num_steps", "num_images", "left_out")},
        "train_seconds": sum(model["train_seconds"] for model in models),
        "files": first["files"],
        **summary([model["metrics"]["val"]["miou"] for model in models]),
        "models": [
            {key: value for key, value in model.items() if key != "files"} for model in models
        ],
    }


def _next_attempt(storage: Storage, folder: str) -> int:
    """A number under which no earlier training left a file."""
    return 1 + max(
        (int(name[8:]) for name in storage.list(folder) if re.fullmatch(r"attempt-\d+", name)),
        default=0,
    )


def _keep_only(storage: Storage, folder: str, files: list[FileRef]) -> None:
    """Remove what earlier trainings left in `folder`, now that `metrics.json` names the new files."""
    kept = {ref.path.removeprefix(f"{folder}/").split("/")[0] for ref in files}
    for name in storage.list(folder):
        if name not in kept:
            storage.remove(f"{folder}/{name}")


def _still_broken(pool: Pool, kind: Kind) -> tuple[int, ...]:
    """Quarantined images that would be trained on; those that were mended since take part, though a run that is over does not record it."""
    wanted = pool.broken & pool.labelled_images if kind == "final" else pool.broken
    return tuple(
        index for index in np.flatnonzero(wanted).tolist() if look(pool, index) is not None
    )


def _train_usable(
    trainer: Trainer, plan: TrainPlan, pool: Pool, state: State, **asked: Any
) -> tuple[TrainPlan, TrainResult]:
    """Train without the images that turn out broken; nothing is recorded of them, as another driver may hold the run.

    Raises:
        RayALError: more are broken than `score.max_quarantined` allows.
    """
    broken = dict(state.quarantined)
    while True:
        try:
            return plan, trainer.train(plan, **asked)
        except BrokenImagesError as error:
            broken.update(error.images)
            check_quarantine(broken, pool.config, len(pool.manifest), run_uri=pool.storage.root)
            plan = replace(
                plan, left_out=tuple(sorted({*plan.left_out, *pool.indices_of(list(error.images))}))
            )


def _sieve(config: RunConfig, state: State) -> FileRef | None:
    """The last cycle's model, where dominant labels are sieved."""
    last = state.last_trained
    return last.model if config.label.sieves and last else None


def _write_share(storage: Storage) -> None:
    """Once both are there, the final metrics name their share of the full score."""
    final = read_metrics(storage, "final")
    full = read_metrics(storage, "upper_bound")
    if final is None or full is None:
        return
    share = mean_miou(final) / mean_miou(full) if mean_miou(full) else None
    storage.replace(
        ResultDir("final").metrics,
        json.dumps({**final, "share_of_full_score": share}, indent=1, allow_nan=False).encode(),
    )
