"""Check that nothing reads validation images in a run without them (`data.val_split: none`)."""

from ray_al.acquisition import find_acquisition
from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError


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
