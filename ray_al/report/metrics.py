"""The results of `ray-al final` and `ray-al upper-bound`, as `metrics.json` holds them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Any

from ray_al.core.notes import read_note
from ray_al.core.run_dir import ResultDir
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef, Recipe
from ray_al.ledger.parse import Malformed, parse
from ray_al.ledger.records.parts import SplitMetrics, to_json

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FinalModel:
    """One of the models that a command trained.

    Attributes:
        metrics: by split.
        num_steps: steps of the optimizer.
        num_images: images that were trained on.
        train_seconds: duration of the training.
        evaluate_seconds: duration of the evaluation.
        left_out: number of images that cannot be used.
    """

    metrics: Mapping[str, SplitMetrics]
    num_steps: int
    num_images: int
    train_seconds: float
    evaluate_seconds: float
    left_out: int


@dataclass(frozen=True, kw_only=True)
class FinalResult:
    """The models that a command trained, which differ in their seed alone.

    Attributes:
        kind: `final` or `upper_bound`.
        metrics: of the first model, by split.
        num_steps: steps of the first model's optimizer.
        num_images: images that the first model was trained on.
        left_out: number of images that the first model could not use.
        train_seconds: duration of all trainings.
        files: the files of the first model by name, `model.pt` among them.
        mious: mIoU of each model on the validation split; empty without validation images.
        miou: the mean of `mious`; None without any.
        spread: sample standard deviation of `mious`; None if there are less than two.
        models: each model.
        share_of_full_score: `miou` as a fraction of that of the upper bound; None if that is not
            known or 0.
        num_classes: how many classes the models know, in a run that was extended before; else
            None.
        recipe: how they were trained; None in files of earlier versions.
        labelled_regions: how many regions had a label; None for `upper_bound`, and in files of
            earlier versions.
    """

    kind: str
    metrics: Mapping[str, SplitMetrics]
    num_steps: int
    num_images: int
    left_out: int
    train_seconds: float
    files: Mapping[str, FileRef]
    mious: tuple[float, ...]
    miou: float | None
    spread: float | None
    models: tuple[FinalModel, ...]
    share_of_full_score: float | None = None
    num_classes: int | None = None
    recipe: Recipe | None = None
    labelled_regions: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the content of `metrics.json`."""
        values: dict[str, Any] = to_json(self)
        for name in ("share_of_full_score", "num_classes", "recipe", "labelled_regions"):
            if values[name] is None:
                del values[name]
        return values


def read_result(storage: Storage, kind: str) -> FinalResult | None:
    """Read `<kind>/metrics.json`; return None if it is missing or damaged.

    Args:
        storage: the run directory.
        kind: `final` or `upper_bound`.
    """
    name = ResultDir(kind).metrics
    values = read_note(storage, name)
    if not values:
        return None
    try:
        return parse(FinalResult, _completed(values))
    except Malformed as error:
        logger.warning("%s: ignored, it holds no result: %s", storage.uri(name), error)
        return None


def _completed(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add what files of earlier versions lack, which have one model."""
    try:
        miou = values["metrics"]["val"]["miou"]
    except (LookupError, TypeError):
        return values
    alone = {"left_out": 0, "mious": [miou], "miou": miou, "spread": None, "models": []}
    return {**alone, **values}


def read_miou(storage: Storage, kind: str, recipe: Recipe | None = None) -> float | None:
    """Return the mean mIoU that `<kind>/metrics.json` holds; None without any.

    Args:
        recipe: the present one; the result of another one is ignored with a warning.
    """
    result = read_result(storage, kind)
    if result is None:
        return None
    if not are_alike(result.recipe, recipe):
        logger.warning(
            "%s: ignored, as final.* has changed since; run `ray-al %s %s` again",
            storage.uri(ResultDir(kind).metrics),
            kind.replace("_", "-"),
            quote(storage.root),
        )
        return None
    return result.miou


def missing_labels(result: FinalResult | None, labelled_regions: int) -> str:
    """Return `11 of 32 labelled regions` if labels came after final models were trained, else "".

    Args:
        labelled_regions: how many regions of the run have a label now.
    """
    known = None if result is None else result.labelled_regions
    if known is None or known == labelled_regions:
        return ""
    return f"{known} of {labelled_regions} labelled regions"


def are_alike(one: Recipe | None, other: Recipe | None) -> bool:
    """Return whether two recipes train alike; one that is not known is taken to do so."""
    return one is None or other is None or to_json(one) == to_json(other)
