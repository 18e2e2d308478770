"""Share what is alike of measured and final models: seeds, splits and the sum of their scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ray_al.core.config import RunConfig
from ray_al.core.seeding import seed_of
from ray_al.datasets import Dataset


@dataclass(frozen=True)
class Summary:
    """The mIoU of several models, their mean, and their sample standard deviation.

    The spread of a single value is None; without any, so is the mean.
    """

    mious: tuple[float, ...]
    miou: float | None
    spread: float | None


def summary(mious: Sequence[float]) -> Summary:
    """Summarise the mIoU of models that differ in their seed alone."""
    spread = float(np.std(mious, ddof=1)) if len(mious) > 1 else None
    mean = float(np.mean(mious)) if mious else None
    return Summary(mious=tuple(mious), miou=mean, spread=spread)


def repeat_seed(config: RunConfig, repeat: int) -> int:
    """Return the seed of a measured model.

    It is the run's own if the run has one final model and no `final.budgets`.
    """
    if config.final.num_repeats == 1 and not config.final.budgets:
        return config.seed
    return seed_of("measured", config.seed, repeat)


def measured_splits(dataset: Dataset) -> tuple[str, ...]:
    """Return the splits to evaluate on; scores on the test split are recorded, and never used."""
    masked = [
        name
        for name, files in dataset.splits.items()
        if any(file.mask_uri or file.image_id in dataset.unlabelled for file in files)
    ]
    return tuple(name for name in ("val", "test") if name in masked)
