"""Read the results of `ray-al final` and `ray-al upper-bound`."""

import logging
from collections.abc import Mapping
from typing import Any

from ray_al.core.notes import read_note
from ray_al.core.run_dir import ResultDir
from ray_al.core.storage import Storage

logger = logging.getLogger(__name__)

NUM_CLASSES = "num_classes"
"""Key for how many classes the models know, in `metrics.json` of a run that was extended before."""


def read_metrics(storage: Storage, kind: str) -> dict[str, Any] | None:
    """Read `<kind>/metrics.json`; return None if it is missing or damaged.

    Args:
        kind: `final` or `upper_bound`.
    """
    name = ResultDir(kind).metrics
    values = read_note(storage, name)
    if not values or values.get("mious") == []:  # these models were not evaluated
        return None
    try:
        miou = values["metrics"]["val"]["miou"]
    except (LookupError, TypeError):
        miou = None
    if isinstance(miou, int | float) and isinstance(values.get("miou", miou), int | float):
        return values
    logger.warning("%s: ignored, it has no mIoU of the validation images", storage.uri(name))
    return None


def read_trained(storage: Storage, kind: str) -> dict[str, Any] | None:
    """Read `<kind>/metrics.json` as `read_metrics` does, also of models that nothing evaluated."""
    values = read_note(storage, ResultDir(kind).metrics)
    return values if values and values.get("mious") == [] else read_metrics(storage, kind)


def mean_miou(values: Mapping[str, Any]) -> float:
    """Return the mean mIoU, on the validation split, of the models in `metrics.json`.

    Args:
        values: as `read_metrics` returns them; files of earlier versions have one model.
    """
    return float(values.get("miou", values["metrics"]["val"]["miou"]))


def read_mean_miou(storage: Storage, kind: str) -> float | None:
    """Return the `mean_miou` of `<kind>/metrics.json`; None if it is missing or damaged."""
    values = read_metrics(storage, kind)
    return mean_miou(values) if values else None
