"""Train the final model of a run on its labels, or the upper bound on all masks of its pool."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
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
from ray_al.driver.measured import measured_splits, repeat_seed, summary
from ray_al.driver.pool import Pool
from ray_al.driver.quarantine import look
from ray_al.driver.training import TrainCallbacks, manifest_of, run_plan
from ray_al.driver.validation_labels import awaited, masks_of
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
    """Train by the section `final` on the labelled regions, or on every pool mask (`upper_bound`).

    Writes `<kind>/checkpoint/` and `<kind>/metrics.json`. The checkpoint of an earlier training is
    kept until `metrics.json` names the new one. If there are several models (`final.repeats`), the
    checkpoint of the first one is kept even if another one is better: the score of a model chosen
    by its score on the validation images would be too high.

    Args:
        progress: called with the number of steps done and in total.
        should_stop: asked often; True ends the training.
        waiting: called with the reason for a wait.

    Returns:
        The content of `<kind>/metrics.json`.

    Raises:
        ConfigError: nothing is labelled yet, or the pool has no masks for an upper bound.
        RunHeldError: another process does the same training.
        Interrupted: `should_stop` returned True.
    """
    storage = Storage(run_uri)
    events = Journal(storage).events
    config, state = with_root(read_config(storage, events)), fold(events)
    dataset, pool = open_dataset(config.data, storage), Pool(storage, state, config)
    check_validation(dataset, state, config)
    _check_labels(run_uri, state, dataset, kind)
    callbacks = TrainCallbacks(progress=progress, should_stop=should_stop, waiting=waiting)
    held = f"trains the {kind} model of this run; wait until it is done, or end it first"
    result = ResultDir(kind)
    with Lease(storage, result.lease, held=held).acquire():
        files, values = _train(pool, state, dataset, kind, callbacks)
        # The command that trains the other kind of model writes the share, too.
        with Lease(storage, RunDir.METRICS_LEASE).acquire(patience_s=2 * STALE_S):
            storage.replace(result.metrics, _to_json(values))
            storage.remove(result.models)
            _write_share(storage)
            values = dict(json.loads(storage.read(ResultDir(kind).metrics)))
        _keep_only(storage, ResultDir(kind).checkpoint, files)
    return values


def _check_labels(run_uri: str, state: State, dataset: Dataset, kind: Kind) -> None:
    """Refuse to train on labels or masks that are not there."""
    if kind == "final" and not state.label_parts:
        raise ConfigError(
            f"{run_uri}: nothing is labelled yet; let the run label its start set first "
            f"(`ray-al resume {run_uri}`)"
        )
    if awaited(state) is not None:
        raise ConfigError(
            f"{run_uri}: the validation images are not labelled yet, so nothing could be "
            f"evaluated; label them and continue with `ray-al resume {run_uri}`"
        )
    if kind == "upper_bound" and any(image.mask_uri is None for image in dataset.splits["train"]):
        raise ConfigError(
            f"{run_uri}: an upper bound trains on every pool mask, and this pool has none; "
            "use `ray-al final`"
        )


def _to_json(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, indent=1, allow_nan=False).encode()


def _train(
    pool: Pool, state: State, dataset: Dataset, kind: Kind, callbacks: TrainCallbacks
) -> tuple[list[FileRef], dict[str, Any]]:
    """Train the models; return the files of the new checkpoint and the content of `metrics.json`.

    The files are written next to those of an earlier checkpoint.
    """
    storage, config = pool.storage, pool.config
    plan = _plan(pool, state, dataset, kind)
    alone = {
        "cluster": config.cluster.model_copy(update={"host": "process"}),
        "scoring": config.scoring.model_copy(update={"workers": 0}),
    }
    with connect(config.model_copy(update=alone), should_stop=callbacks.should_stop):
        trainer = open_trainer(config, storage.root, state.term, kind=kind)
        try:
            models = _train_models(trainer, plan, pool, state, kind, callbacks)
        finally:
            trainer.close()
    storage.remove(plan.progress)
    return [FileRef.from_dict(ref) for ref in models[0]["files"].values()], {
        "kind": kind,
        **_facts(models),
    }


def _train_models(
    trainer: Trainer,
    plan: TrainPlan,
    pool: Pool,
    state: State,
    kind: Kind,
    callbacks: TrainCallbacks,
) -> list[dict[str, Any]]:
    """Train each model and return its facts.

    Models that an interrupted command trained by the same plan are taken over.
    """
    storage, config = pool.storage, pool.config
    models = _done_before(storage, kind, plan)
    for repeat in range(len(models), config.final.num_repeats):
        plan = replace(plan, seed=repeat_seed(config, repeat), keeps_model=repeat == 0)
        of_repeat = _of_repeat(config, repeat, callbacks)
        plan, result = _train_usable(trainer, plan, pool, state, of_repeat)
        files = {name: ref.as_dict() for name, ref in result.files.items()}
        models.append({**_measured_facts(result), "left_out": len(plan.left_out), "files": files})
        done = {"plan": _digest(plan), "models": models}
        storage.replace(ResultDir(kind).models, json.dumps(done, allow_nan=False).encode())
    return models[: config.final.num_repeats]


def _done_before(storage: Storage, kind: Kind, plan: TrainPlan) -> list[dict[str, Any]]:
    """Return the facts of models that were trained by `plan`, if the first one's files exist."""
    note = read_note(storage, ResultDir(kind).models)
    models = note.get("models", []) if note.get("plan") == _digest(plan) else []
    if models and all(storage.exists(ref["path"]) for ref in models[0]["files"].values()):
        return list(models)
    return []


def _digest(plan: TrainPlan) -> str:
    """Digest what all models of a plan have in common: their data and their recipe."""
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
        manifest=manifest_of(state),
        validation=masks_of(state),
    )


def _of_repeat(config: RunConfig, repeat: int, callbacks: TrainCallbacks) -> TrainCallbacks:
    """Return the callbacks for one of several models, whose steps add up."""
    count = config.final.num_repeats

    def progress(done: int, total: int) -> None:
        callbacks.progress(repeat * total + done, count * total)

    return replace(callbacks, progress=progress)


def _facts(models: list[dict[str, Any]]) -> dict[str, Any]:
    """Summarise all models.

    `metrics` and `files` are those of the first model, `models` lists the metrics of each, and
    `miou` and `spread` describe all of them.
    """
    first = models[0]
    return {
        **{key: first[key] for key in ("metrics", "num_steps", "num_images", "left_out")},
        "train_seconds": sum(model["train_seconds"] for model in models),
        "files": first["files"],
        **asdict(
            summary(
                [model["metrics"]["val"]["miou"] for model in models if "val" in model["metrics"]]
            )
        ),
        "models": [_without_files(model) for model in models],
    }


def _measured_facts(result: TrainResult) -> dict[str, Any]:
    """Return what is recorded of a measured model."""
    return {
        "metrics": {split: metrics.as_dict() for split, metrics in result.metrics.items()},
        "num_steps": result.num_steps,
        "num_images": result.num_images,
        "train_seconds": result.train_seconds,
        "evaluate_seconds": result.evaluate_seconds,
    }


def _without_files(model: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in model.items() if key != "files"}


def _next_attempt(storage: Storage, folder: str) -> int:
    """Return a number under which no earlier training left a file."""
    return 1 + max(
        (int(name[8:]) for name in storage.list(folder) if re.fullmatch(r"attempt-\d+", name)),
        default=0,
    )


def _keep_only(storage: Storage, folder: str, files: list[FileRef]) -> None:
    """Remove the files of earlier trainings, now that `metrics.json` names the new ones."""
    kept = {ref.path.removeprefix(f"{folder}/").split("/")[0] for ref in files}
    for name in storage.list(folder):
        if name not in kept:
            storage.remove(f"{folder}/{name}")


def _still_broken(pool: Pool, kind: Kind) -> tuple[int, ...]:
    """Return the quarantined images that would be trained on and still cannot be used.

    Images that were mended since take part, although a finished run does not record it.
    """
    wanted = pool.broken & pool.labelled_images if kind == "final" else pool.is_out
    return tuple(
        index for index in np.flatnonzero(wanted).tolist() if look(pool, index) is not None
    )


def _train_usable(
    trainer: Trainer, plan: TrainPlan, pool: Pool, state: State, callbacks: TrainCallbacks
) -> tuple[TrainPlan, TrainResult]:
    """Train without the images that turn out broken.

    They are not recorded, because another driver may hold the run.

    Raises:
        RayALError: more are broken than `scoring.max_quarantined` allows.
    """
    broken = dict(state.quarantined)
    while True:
        try:
            return plan, run_plan(trainer, plan, callbacks)
        except BrokenImagesError as error:
            broken.update(error.images)
            check_quarantine(broken, pool.config, len(pool.manifest), run_uri=pool.storage.root)
            plan = replace(
                plan, left_out=tuple(sorted({*plan.left_out, *pool.indices_of(list(error.images))}))
            )


def _sieve(config: RunConfig, state: State) -> FileRef | None:
    """Return the model of the last cycle if dominant labels are sieved."""
    last = state.last_trained
    return last.model if config.label.sieves and last else None


def _write_share(storage: Storage) -> None:
    """Add the share of the full score to the final metrics, once both models are trained."""
    final = read_metrics(storage, "final")
    full = read_metrics(storage, "upper_bound")
    if final is None or full is None:
        return
    share = mean_miou(final) / mean_miou(full) if mean_miou(full) else None
    storage.replace(ResultDir("final").metrics, _to_json({**final, "share_of_full_score": share}))
