"""Check that what reads or labels validation images fits the images that there are."""

import logging

from ray_al.acquisition import find_acquisition
from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError
from ray_al.datasets import Dataset

logger = logging.getLogger(__name__)


def check_validation_use(config: RunConfig) -> None:
    """Refuse settings that need validation images if there are none.

    Raises:
        ConfigError: naming the key, the value and the remedy.
    """
    if config.data.has_validation:
        return
    acquisition = config.strategy.acquisition
    final = config.with_recipe(config.final.recipe).train
    needs = {
        "train.keep": "best" if config.train.keep == "best" else None,
        "final.train.keep": "best" if final.keep == "best" else None,
        "final.budgets": list(config.final.budgets),
        "strategy.acquisition": acquisition
        if find_acquisition(acquisition).reads_validation
        else None,
    }
    for key, value in needs.items():
        if value:
            raise ConfigError(
                f"{key}: {value} needs the mIoU on validation images, and data.val_split is none; "
                "leave it out, or draw validation images from the pool (data.val_split: 10 %)"
            )


def check_validation_labels(config: RunConfig) -> None:
    """Refuse to ask for masks of validation images if there are none, or nobody can be asked.

    Raises:
        ConfigError: naming the key, the value and the remedy.
    """
    if not config.label.validation:
        return
    if not config.data.has_validation:
        raise ConfigError(
            "label.validation: true asks for the masks of validation images, and data.val_split is "
            "none; draw some from the pool (data.val_split: 10 %), or leave label.validation out"
        )
    annotator = config.label.annotator
    if annotator.reads_masks:
        raise ConfigError(
            f"label.validation: true asks for masks that do not exist, and label.annotator="
            f"{annotator.kind} only reads masks; set label.annotator=files to have people label, "
            "or leave label.validation out"
        )


def say_all_labelled(config: RunConfig, dataset: Dataset) -> None:
    """Log that nobody will be asked, if every validation image has a mask."""
    if config.label.validation and not dataset.unlabelled:
        logger.warning(
            "label.validation: nobody is asked, because all %d validation images have masks",
            len(dataset.splits["val"]),
        )
