"""Whether the pool, the filters and the batch rule leave enough regions for a query; found out before the run starts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.strategy import StrategyConfig
from ray_al.core.types import SEED_CYCLE, START_CYCLE
from ray_al.regions.sparse import SparseRegions

PER_CYCLE = "per_cycle"
UNKNOWN = 1 << 40
"""Regions of an image of which nobody knows yet how many it has."""


@dataclass(frozen=True, kw_only=True)
class _Limit:
    """Something that bounds a query.

    Attributes:
        per_image: regions of each image at most, int64 (images,).
        setting: key and value that set the bound.
        remedy: what to do about it.
    """

    per_image: np.ndarray
    setting: str
    remedy: str


def check_capacity(
    config: RunConfig, sizes: Mapping[str, int], amount: int, manifest: pa.Table, dearest: int
) -> None:
    """Refuse queries that can never be as large as the budget asks for.

    Args:
        sizes: what the queries may cost, in the budget's unit: `per_cycle` (with the place in its list), and the parts of the start set.
        amount: the whole budget.
        dearest: what a region costs at most, in the budget's unit.

    Raises:
        ConfigError: naming the key, how many regions there can be, and the remedy.
    """
    if not config.budget.unit.pays_once_an_image:  # else one region of an image is enough
        for name, size in sizes.items():
            cycle = (
                0
                if name.startswith(PER_CYCLE)
                else SEED_CYCLE
                if "random part" in name
                else START_CYCLE
            )
            strategy = config.strategy_at(cycle)
            for limit in _limits(config, strategy, manifest):
                _refuse(config, f"budget.{name}", size, limit, dearest)
            own = cycle != START_CYCLE or config.budget.start_rule.follows_strategy
            _check_candidates(
                strategy,
                name,
                size // dearest,
                key="strategy.batch" if own else "budget.start_rule",
            )
    regions = config.regions
    if isinstance(regions, SparseRegions) and regions.is_spaced:
        apart = _apart(manifest, regions.apart + 1)
        remedy = "lower the radius or the amount"
        _refuse(
            config,
            "budget.amount",
            amount,
            _Limit(per_image=apart, setting=f"regions.radius={regions.radius}", remedy=remedy),
            dearest,
        )


def _refuse(config: RunConfig, key: str, size: int, limit: _Limit, dearest: int) -> None:
    most = int(limit.per_image.sum())
    if size > most * dearest:
        unit = config.budget.unit.name
        cost = "" if dearest == 1 else f", of at most {dearest} {unit} each"
        raise ConfigError(
            f"{key}: {size} {unit} cannot be had: with {limit.setting}, {len(limit.per_image)} images give {most} regions{cost}; {limit.remedy}"
        )


def _limits(config: RunConfig, strategy: StrategyConfig, manifest: pa.Table) -> list[_Limit]:
    regions, limits = config.regions, []
    known = manifest.column("num_regions").to_numpy().astype(np.int64)
    if not known.any():
        known = np.full(
            len(manifest), UNKNOWN
        )  # of superpixels the number shows once they are computed
    if isinstance(regions, SparseRegions):
        offered = np.minimum(_apart(manifest, regions.apart + 1), regions.per_image)
        setting = f"regions.per_image={regions.per_image} and radius={regions.radius}"
        limits.append(
            _Limit(
                per_image=offered,
                setting=setting,
                remedy="raise regions.per_image, or lower the query or the radius",
            )
        )
        known = offered
    if strategy.per_image is not None:
        few = np.minimum(known, strategy.per_image)
        limits.append(
            _Limit(
                per_image=few,
                setting=f"strategy.per_image={strategy.per_image}",
                remedy="raise strategy.per_image, or lower the query",
            )
        )
    if strategy.min_distance is not None:
        setting = f"strategy.min_distance={strategy.min_distance:g}"
        far = np.minimum(known, _spread(manifest, strategy.min_distance))
        limits.append(
            _Limit(
                per_image=far, setting=setting, remedy="lower strategy.min_distance or the query"
            )
        )
    return limits


def _sides(manifest: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    height, width = (
        manifest.column(name).to_numpy().astype(np.int64) for name in ("height", "width")
    )
    return height, width


def _apart(manifest: pa.Table, side: int) -> np.ndarray:
    """How many pixels of each image can lie at least `side` rows or columns apart, int64 (images,)."""
    height, width = _sides(manifest)
    counts: np.ndarray = -(-height // side) * -(-width // side)
    return counts


def _spread(manifest: pa.Table, distance: float) -> np.ndarray:
    """How many points of each image can lie `distance` apart, at most: Groemer's bound for a convex body, int64 (images,)."""
    height, width = _sides(manifest)
    area = 2 / math.sqrt(3) * height * width / distance**2
    counts: np.ndarray = np.floor(area + (height + width) / distance + 1).astype(np.int64)
    counts[np.hypot(height, width) < distance] = 1
    return counts


def _check_candidates(strategy: StrategyConfig, name: str, num_regions: int, *, key: str) -> None:
    batch = strategy.batch
    most = batch.num_candidates(num_regions)
    if most is not None and num_regions > most:
        raise ConfigError(
            f"{key}.candidates={most}: {batch.kind!r} chooses among so many regions, and the query of budget.{name} takes "
            f"{num_regions} or more; raise candidates well above it, or lower the query"
        )
