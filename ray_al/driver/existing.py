"""Begin a run with labels that exist: whole images of the pool, for which nobody is asked."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError, RayALError
from ray_al.core.families.annotators import Annotator
from ray_al.core.types import QUERY_SCHEMA, START_CYCLE, PoolSizes
from ray_al.datasets.catalog import data_root
from ray_al.driver.budget import whole_budget
from ray_al.label.annotators.existing import ExistingLabels

if TYPE_CHECKING:
    from ray_al.driver.context import Context

logger = logging.getLogger(__name__)
REASON = "existing label"
"""Reason of the regions of such a start set."""


def takes_existing(config: RunConfig, cycle: int) -> bool:
    """Return whether the labels of `cycle` exist already."""
    return cycle == START_CYCLE and config.budget.start_rule.takes_existing


def annotator_at(config: RunConfig, cycle: int) -> Annotator:
    """Return the annotator that labels the regions that `cycle` chooses."""
    return ExistingLabels() if takes_existing(config, cycle) else config.label.annotator


def is_paid(config: RunConfig, cycle: int) -> bool:
    """Return whether the labels of `cycle` cost anything."""
    return not takes_existing(config, cycle) or config.budget.start_rule.is_counted


def labelled_images(config: RunConfig, manifest: pa.Table) -> np.ndarray:
    """Return which images of the pool are labelled when the run begins, bool (images,).

    Raises:
        ConfigError: the list of these images is missing or wrong.
    """
    return config.budget.start_rule.labelled(manifest, data_root(config.data))


def check_existing(
    config: RunConfig, manifest: pa.Table, pool: PoolSizes, num_classes: int
) -> None:
    """Refuse a pool with no or only labelled images, and labels that the budget does not pay.

    If the run does not begin with existing labels, it says so.

    Args:
        config: of the run.
        manifest: MANIFEST_SCHEMA.
        pool: sizes of the pool.
        num_classes: number of classes.

    Raises:
        ConfigError: naming the key, the value and the remedy.
    """
    if not config.budget.start_rule.takes_existing:
        _warn_of_unused(config, manifest)
        return
    has_regions = manifest.column("height").to_numpy() > 0
    labelled = labelled_images(config, manifest)
    num, total = int((labelled & has_regions).sum()), len(manifest)
    key = "budget.start_rule=existing"
    if not num:
        raise ConfigError(
            f"{key}: none of the {total} images of the pool has a mask that exists; add masks, or "
            "choose another rule"
        )
    if not (has_regions & ~labelled).any():
        raise ConfigError(
            f"{key}: all {total} images of the pool are labelled, so none is left to query; name "
            "those to begin with in a file and set budget.start_rule.names to it"
        )
    if config.budget.start_rule.is_counted and not config.regions.needs_maps:
        amount = whole_budget(config.budget, pool)
        _check_paid(config, manifest.filter(pa.array(labelled)), amount, num_classes)


def _warn_of_unused(config: RunConfig, manifest: pa.Table) -> None:
    """Log that people will be asked for labels of which some exist."""
    num, total = len(manifest) - manifest.column("mask_uri").null_count, len(manifest)
    if 0 < num < total and not config.label.annotator.reads_masks:
        logger.warning(
            "%d of the %d images of the pool have masks, which this run does not read; to begin "
            "with these labels, set budget.start_rule=existing",
            num,
            total,
        )


def _check_paid(config: RunConfig, images: pa.Table, amount: int, num_classes: int) -> None:
    """Refuse existing labels that leave nothing of the budget.

    Args:
        images: the labelled images, MANIFEST_SCHEMA.
    """
    cost = 0
    shapes = images.group_by(["height", "width"]).aggregate([([], "count_all")])
    for shape in shapes.to_pylist():
        height, width = shape["height"], shape["width"]
        if config.regions.num_regions(height, width):
            pixels = config.regions.of_image(height, width).num_pixels.tolist()
            cost += shape["count_all"] * sum(_costs(config, pixels, num_classes))
    if cost >= amount:
        raise _too_dear(config, len(images), cost, amount)


def _costs(config: RunConfig, sizes: Sequence[int], num_classes: int) -> list[int]:
    """Return what is reserved for all regions of an image, by their native pixels."""
    unit = config.budget.unit
    costs = [unit.most(size, config.label, num_classes) for size in sizes]
    return [*costs[:1], *(0 for _ in costs[1:])] if unit.pays_once_an_image else costs


def _too_dear(config: RunConfig, num_images: int, cost: int, amount: int) -> ConfigError:
    unit = config.budget.unit
    most = "at most " if unit.shows_late else ""
    return ConfigError(
        f"budget.start_rule=existing: the labels of {num_images} images cost {most}{cost} "
        f"{unit.name}{unit.explain_bound(config.label)}, and budget.amount is {amount}; raise it, "
        "or leave them out of it with budget.start_rule.counted=false"
    )


def existing_query(context: "Context") -> pa.Table:
    """Return all regions of the images that are labelled already.

    Returns:
        QUERY_SCHEMA, in the order of the pool.

    Raises:
        RayALError: the budget does not pay for them.
    """
    config, pool = context.config, context.pool
    labelled = labelled_images(config, pool.manifest) & ~pool.is_out
    names = pool.manifest.column("image_id")
    parts: list[pa.Table] = []
    rank = 0
    for index in np.flatnonzero(labelled & (pool.num_regions > 0)).tolist():
        pixels = pool.regions_of(index).num_pixels
        num = len(pixels)
        costs = _costs(config, pixels.tolist(), context.dataset.num_classes)
        columns = {
            "image_index": np.full(num, index),
            "image_id": [names[index].as_py()] * num,
            "region": np.arange(num),
            "score": np.zeros(num),
            "num_pixels": pixels,
            "rank": np.arange(rank, rank + num),
            "reason": [REASON] * num,
            "cost": costs if is_paid(config, START_CYCLE) else np.zeros(num, dtype=np.int64),
        }
        rank += num
        parts.append(
            pa.table(
                [pa.array(columns[field.name], field.type) for field in QUERY_SCHEMA],
                schema=QUERY_SCHEMA,
            )
        )
    query = pa.concat_tables(parts) if parts else QUERY_SCHEMA.empty_table()
    cost = sum(query.column("cost").to_pylist())
    if cost > context.state.remaining:
        raise RayALError(str(_too_dear(config, len(parts), cost, context.state.amount)))
    return query
