"""All checks before a run, in the order in which they are made.

`ray-al run`, `ray-al sweep` and `--dry-run` find the same faults in the same order: first by
`check_config`, which opens the data set, then by `check_pool`, which reads the size of every image.
Commands that write a run directory call `check_places` before either.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.shares import exact
from ray_al.core.storage import check_writable
from ray_al.core.types import PoolSizes
from ray_al.datasets import Dataset, check_start, open_dataset
from ray_al.datasets.manifest import build_manifest
from ray_al.datasets.statistics import with_channels
from ray_al.datasets.tiles import Tiling, files_at_once
from ray_al.driver.budget import check_budget
from ray_al.driver.check_strategy import check_strategy
from ray_al.driver.check_validation import (
    check_validation_labels,
    check_validation_use,
    say_all_labelled,
)
from ray_al.driver.context import check_quarantine
from ray_al.driver.existing import check_existing
from ray_al.driver.track import check_tracking
from ray_al.models import check_model
from ray_al.train.checks import check_train
from ray_al.train.class_weights import check_class_weights

JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Ray sets it in a submitted job, whose working directory is a copy that is thrown away."""


def check_places(config: RunConfig, out: str) -> None:
    """Refuse places that cannot be written, or that vanish with a submitted job.

    Raises:
        ConfigError: naming the place.
    """
    check_writable(out, key="--out (or RAY_AL_RUNS)")
    if JOB_VARIABLE not in os.environ:
        return
    for key, path in (("--out (or RAY_AL_RUNS)", out), ("data.root", config.data.root)):
        if path and _is_in_working_directory(path):
            raise ConfigError(
                f"{key}: {path!r} lies in the job's working directory, a copy that is thrown away; "
                "give an absolute path or a URI"
            )


def _is_in_working_directory(path: str) -> bool:
    if "://" in path:
        return False
    return os.path.commonpath([os.path.abspath(path), os.getcwd()]) == os.getcwd()


def check_config(config: RunConfig) -> Dataset:
    """Make all checks that need neither a cluster nor a written file; return the open data set.

    Raises:
        ConfigError: naming the key or file, the value seen and the remedy.
    """
    config = with_channels(config)
    for check_settings in SETTINGS_CHECKS:
        check_settings(config)
    dataset = open_dataset(config.data, asks_people=config.label.validation)
    for check_with_data in DATASET_CHECKS:
        check_with_data(config, dataset)
    return dataset


def _check_networks(config: RunConfig, dataset: Dataset) -> None:
    """Refuse a network that cannot be built, at the image sizes of the run and of its end."""
    sizes = (config.data.image_size, config.final.image_size or config.data.image_size)
    for size in dict.fromkeys(sizes):
        check_model(config.model, dataset.num_classes, size, config.data.num_channels)


def _check_feature_store(config: RunConfig, dataset: Dataset) -> None:
    if config.model.is_frozen:
        config.features.store.check()


def _check_class_weights(config: RunConfig, dataset: Dataset) -> None:
    check_class_weights(config.train, dataset.num_classes)
    final = config.with_recipe(config.final.recipe).train
    check_class_weights(final, dataset.num_classes, key="final.train")


def check_masks(config: RunConfig, dataset: Dataset) -> None:
    """Refuse a pool without the masks that its annotator or its filter reads."""
    masks = [image.mask_uri for image in dataset.splits["train"]]
    annotator = config.label.annotator
    if annotator.reads_masks and None in masks:
        raise ConfigError(
            f"label.annotator: {annotator.kind!r} needs a mask for every pool image, "
            f"{masks.count(None)} of {len(masks)} have none; "
            "set label.annotator=files to have people label"
        )
    if config.strategy.skip_void_by_ground_truth and None in masks:
        raise ConfigError(
            "strategy.skip_void_by_ground_truth: it reads ground truth that this pool does not "
            "have; set it to false"
        )


def _check_strategy(config: RunConfig, dataset: Dataset) -> None:
    check_strategy(config, dataset.num_classes)


SETTINGS_CHECKS: tuple[Callable[[RunConfig], None], ...] = (
    check_train,
    check_validation_use,
    check_validation_labels,
    check_tracking,
)
"""Checks of the configuration alone, in order; they also apply to settings changed later."""
DATASET_CHECKS: tuple[Callable[[RunConfig, Dataset], None], ...] = (
    _check_networks,
    _check_feature_store,
    _check_class_weights,
    check_masks,
    _check_strategy,
    say_all_labelled,
)
"""Checks of the configuration against the data set's classes and files, in order."""


@dataclass(frozen=True, kw_only=True)
class CheckedPool:
    """A pool that a run can begin with.

    Attributes:
        manifest: one row per image, broken ones included.
        broken: image_id -> why the image cannot be used.
        sizes: of the pool.
    """

    manifest: pa.Table
    broken: Mapping[str, str]
    sizes: PoolSizes


def check_pool(config: RunConfig, dataset: Dataset) -> CheckedPool:
    """Read the size of every pool image, and refuse a pool that the run cannot work with.

    Raises:
        ConfigError: the data set is not as it must be, or the budget does not fit the pool.
        RayALError: more images are broken than `scoring.max_quarantined` allows.
    """
    reads_masks = config.label.annotator.reads_masks
    reads_masks = reads_masks or config.budget.start_rule.takes_existing
    check_start(
        dataset,
        pool_masks=reads_masks,
        test=bool(config.final.budgets),
        threads=files_at_once(config.data),
    )
    manifest, unreadable = build_manifest(
        dataset.splits["train"],
        config.regions.num_regions,
        dataset.pixels,
        tiling=Tiling.of(config.data),
    )
    broken = dict(unreadable)
    small = too_small(config, manifest, broken)
    _check_sizes(config, small, len(manifest))
    broken.update(small)
    check_quarantine(broken, config, len(manifest))
    sizes = _pool_sizes(manifest)
    check_budget(config, sizes, manifest, dataset.num_classes)
    check_existing(config, manifest, sizes, dataset.num_classes)
    return CheckedPool(manifest=manifest, broken=broken, sizes=sizes)


def too_small(
    config: RunConfig, manifest: pa.Table, unreadable: Mapping[str, str]
) -> dict[str, str]:
    """Map image_id to the reason why the image has no region, for images that can be read."""
    small: dict[str, str] = {}
    for row in manifest.select(["image_id", "height", "width"]).to_pylist():
        if row["image_id"] in unreadable:
            continue
        reason = config.regions.too_small(row["height"], row["width"])
        if reason:
            small[row["image_id"]] = reason
    return small


def _check_sizes(config: RunConfig, small: Mapping[str, str], num_images: int) -> None:
    """Refuse regions of which most images have none: the setting is wrong, not the images.

    Args:
        small: image_id -> why it has no region.
    """
    if len(small) <= exact(config.scoring.max_quarantined) * num_images:
        return
    name, reason = next(iter(small.items()))
    settings = " and ".join(
        f"regions.{key}={getattr(config.regions, key)}" for key in config.regions.size_keys
    )
    raise ConfigError(
        f"{settings}: {len(small)} of {num_images} pool images have no region then, more "
        f"than scoring.max_quarantined={config.scoring.max_quarantined} allows. {name}: {reason}"
    )


def _pool_sizes(manifest: pa.Table) -> PoolSizes:
    heights, widths = (manifest.column(name).to_pylist() for name in ("height", "width"))
    return PoolSizes(
        num_images=len(manifest),
        num_regions=sum(manifest.column("num_regions").to_pylist()),
        num_pixels=sum(height * width for height, width in zip(heights, widths, strict=True)),
    )
