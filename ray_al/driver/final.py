"""Train the final model of a run on its labels, or the upper bound on all masks of its pool."""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from shlex import quote
from typing import Literal

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
from ray_al.ledger.parse import Malformed, parse
from ray_al.ledger.records.parts import SplitMetrics, to_json
from ray_al.report.metrics import FinalModel, FinalResult, are_alike, read_result
from ray_al.train.trainer import Trainer, open_trainer

logger = logging.getLogger(__name__)
Kind = Literal["final", "upper_bound"]


@dataclass(frozen=True, kw_only=True)
class _Trained:
    """The models that a command trained so far, as `models.json` keeps them.

    Attributes:
        plan: digest of the plan that they follow.
        files: the files of the first model by name.
        models: each model, in the order of their seeds.
    """

    plan: str
    files: Mapping[str, FileRef]
    models: tuple[FinalModel, ...] = ()


def train_final(
    run_uri: str,
    kind: Kind,
    *,
    progress: Callable[[int, int], None],
    should_stop: Callable[[], bool],
    waiting: Callable[[str], None] = lambda text: None,
) -> FinalResult:
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
        The result, as `<kind>/metrics.json` holds it.

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
    place = ResultDir(kind)
    with Lease(storage, place.lease, held=held).acquire():
        result = _train(pool, state, dataset, kind, callbacks)
        # The command that trains the other kind of model writes the share, too.
        with Lease(storage, RunDir.METRICS_LEASE).acquire(patience_s=2 * STALE_S):
            _write(storage, result)
            storage.remove(place.models)
            final = _write_share(storage)
        _keep_only(storage, place.checkpoint, result.files.values())
    return final if final is not None and kind == "final" else result


def _check_labels(run_uri: str, state: State, dataset: Dataset, kind: Kind) -> None:
    """Refuse to train on labels or masks that are not there."""
    if kind == "final" and not state.label_parts:
        raise ConfigError(
            f"{run_uri}: nothing is labelled yet; let the run label its start set first "
            f"(`ray-al resume {quote(run_uri)}`)"
        )
    if awaited(state) is not None:
        raise ConfigError(
            f"{run_uri}: the validation images are not labelled yet, so nothing could be "
            f"evaluated; label them and continue with `ray-al resume {quote(run_uri)}`"
        )
    if kind == "upper_bound" and any(image.mask_uri is None for image in dataset.splits["train"]):
        raise ConfigError(
            f"{run_uri}: an upper bound trains on every pool mask, and this pool has none; "
            "use `ray-al final`"
        )


def _write(storage: Storage, result: FinalResult) -> None:
    data = json.dumps(result.as_dict(), indent=1, allow_nan=False).encode()
    storage.replace(ResultDir(result.kind).metrics, data)


def _train(
    pool: Pool, state: State, dataset: Dataset, kind: Kind, callbacks: TrainCallbacks
) -> FinalResult:
    """Train the models; the files are written next to those of an earlier checkpoint."""
    storage, config = pool.storage, pool.config
    plan = _plan(pool, state, dataset, kind)
    alone = {
        "cluster": config.cluster.model_copy(update={"host": "process"}),
        "scoring": config.scoring.model_copy(update={"workers": 0}),
    }
    with connect(config.model_copy(update=alone), should_stop=callbacks.should_stop):
        trainer = open_trainer(config, storage.root, state.attempt, kind=kind)
        try:
            trained = _train_models(trainer, plan, pool, state, kind, callbacks)
        finally:
            trainer.close()
    storage.remove(plan.partial_checkpoint)
    result = _result(kind, trained.files, trained.models[: config.final.num_repeats])
    regions = state.labelled_regions if kind == "final" else None
    result = replace(result, recipe=plan.recipe, labelled_regions=regions)
    return replace(result, num_classes=dataset.num_classes) if state.extensions else result


def _train_models(
    trainer: Trainer,
    plan: TrainPlan,
    pool: Pool,
    state: State,
    kind: Kind,
    callbacks: TrainCallbacks,
) -> _Trained:
    """Train each model.

    Models that an interrupted command trained by the same plan are taken over.
    """
    storage, config = pool.storage, pool.config
    trained = _trained_before(storage, kind, plan)
    for repeat in range(len(trained.models), config.final.num_repeats):
        plan = replace(plan, seed=repeat_seed(config, repeat), keeps_model=repeat == 0)
        of_repeat = _of_repeat(config, repeat, callbacks)
        plan, result = _train_usable(trainer, plan, pool, state, of_repeat)
        trained = _Trained(
            plan=_digest(plan),
            files=trained.files or result.files,
            models=(*trained.models, _model(result, num_left_out=len(plan.left_out))),
        )
        data = json.dumps(to_json(trained), allow_nan=False).encode()
        storage.replace(ResultDir(kind).models, data)
    return trained


def _trained_before(storage: Storage, kind: Kind, plan: TrainPlan) -> _Trained:
    """Return the models that were trained by `plan`, if the first one's files exist."""
    nothing = _Trained(plan=_digest(plan), files={})
    try:
        trained = parse(_Trained, read_note(storage, ResultDir(kind).models))
    except Malformed:  # missing, damaged, or of an earlier version: the models are trained anew
        return nothing
    is_there = all(storage.exists(ref.path) for ref in trained.files.values())
    return trained if is_there and trained.plan == nothing.plan else nothing


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
        partial_checkpoint=ResultDir(kind).partial_checkpoint,
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


def _result(
    kind: Kind, files: Mapping[str, FileRef], models: tuple[FinalModel, ...]
) -> FinalResult:
    """Summarise all models; `files` are those of the first one."""
    first = models[0]
    mious = [model.metrics["val"].miou for model in models if "val" in model.metrics]
    return FinalResult(
        kind=kind,
        metrics=first.metrics,
        num_steps=first.num_steps,
        num_images=first.num_images,
        left_out=first.left_out,
        train_seconds=sum(model.train_seconds for model in models),
        files=files,
        **asdict(summary(mious)),
        models=models,
    )


def _model(result: TrainResult, *, num_left_out: int) -> FinalModel:
    """Return what is recorded of a trained model."""
    return FinalModel(
        metrics={split: SplitMetrics.of(metrics) for split, metrics in result.metrics.items()},
        num_steps=result.num_steps,
        num_images=result.num_images,
        train_seconds=result.train_seconds,
        evaluate_seconds=result.evaluate_seconds,
        left_out=num_left_out,
    )


def _next_attempt(storage: Storage, folder: str) -> int:
    """Return a number under which no earlier training left a file."""
    return 1 + max(
        (int(name[8:]) for name in storage.list(folder) if re.fullmatch(r"attempt-\d+", name)),
        default=0,
    )


def _keep_only(storage: Storage, folder: str, files: Iterable[FileRef]) -> None:
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


def _write_share(storage: Storage) -> FinalResult | None:
    """Add the share of the full score to the final result, once both models are trained.

    Returns:
        The final result; None if either has no mIoU.
    """
    final, full = (read_result(storage, kind) for kind in ("final", "upper_bound"))
    if final is None or final.miou is None or full is None or full.miou is None:
        return None
    share = final.miou / full.miou if full.miou else None
    if not are_alike(final.recipe, full.recipe):
        share = None
        logger.warning(
            "%s: no share of the full score, as final.* changed between `ray-al final` and "
            "`ray-al upper-bound`; run again what was trained first",
            storage.root,
        )
    final = replace(final, share_of_full_score=share)
    _write(storage, final)
    return final
