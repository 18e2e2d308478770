"""What `ray-al final` and `ray-al upper-bound` found."""

import logging
from collections.abc import Mapping
from typing import Any

from ray_al.core.notes import read_note
from ray_al.core.storage import Storage

logger = logging.getLogger(__name__)


def read_metrics(storage: Storage, kind: str) -> dict[str, Any] | None:
    """The content of `<kind>/metrics.json`, kind being `final` or `upper_bound`; None where it is not there, or damaged."""
    name = f"{kind}/metrics.json"
    values = read_note(storage, name)
    if not values:
        return None
    try:
        miou = values["metrics"]["val"]["miou"]
    except (LookupError, TypeError):
        miou = None
    if isinstance(miou, int | float) and isinstance(values.get("miou", miou), int | float):
        return values
    logger.warning(
        "%s: passed over, as it holds no mIoU of the validation images", storage.uri(name)
    )
    return None


def mean_miou(values: Mapping[str, Any]) -> float:
    """The mean mIoU on val of the models that `read_metrics` tells of; of earlier versions there is one."""
    return float(values.get("miou", values["metrics"]["val"]["miou"]))
