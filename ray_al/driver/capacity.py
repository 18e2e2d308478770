"""Check before a run that pool, filters and batch rule leave enough regions for each query."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.strategy import StrategyConfig
from ray_al.core.types import SEED_CYCLE, START_CYCLE
from ray_al.regions.sparse import SparseRegions

PER_CYCLE = "per_cycle"
SEED_PART = "start (its random part)"
"""Names the random part of a start set in messages."""
UNKNOWN = 1 << 40
"""Stands in for the number of an image's regions until it is known."""


@dataclass(frozen=True, kw_only=True)
class _Limit:
    """A setting that bounds a query.

    Attributes:
        per_image: maximum number of regions of each image, int64 (images,).
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
        sizes: units that the queries may cost, by the key that sets them: `per_cycle` (with the
            place in its list), and the parts of the start set.
        amount: the whole budget in units.
        manifest: the pool's manifest.
        dearest: units that a region costs at most.

    Raises:
        ConfigError: naming the key, how many regions there can be, and the remedy.
    """
    # If an image is paid once, one region per image is enough.
    if not config.budget.unit.pays_once_an_image:
        for name, size in sizes.items():
            _check_query(config, name, size, manifest, dearest)
    regions = config.regions
    if isinstance(regions, SparseRegions) and regions.is_spaced:
        limit = _Limit(
            per_image=_num_apart(manifest, regions.apart + 1),
            setting=f"regions.radius={regions.radius}",
            remedy="lower the radius or the amount",
        )
        _refuse(config, "budget.amount", amount, limit, dearest)


def _check_query(config: RunConfig, name: str, size: int, manifest: pa.Table, dearest: int) -> None:
    cycle = _cycle_of(name)
    strategy = config.strategy_at(cycle)
    for limit in _limits(config, strategy, manifest):
        _refuse(config, f"budget.{name}", size, limit, dearest)
    own = cycle != START_CYCLE or config.budget.start_rule.follows_strategy
    key = "strategy.batch" if own else "budget.start_rule"
    _check_candidates(strategy, name, size // dearest, key=key)


def _cycle_of(name: str) -> int:
    """Return a cycle whose strategy chooses the query called `name`."""
    if name.startswith(PER_CYCLE):
        return 0
    return SEED_CYCLE if name == SEED_PART else START_CYCLE


def _refuse(config: RunConfig, key: str, size: int, limit: _Limit, dearest: int) -> None:
    """Raise ConfigError if `size` units cannot be spent within `limit`."""
    most = int(limit.per_image.sum())
    if size > most * dearest:
        unit = config.budget.unit.name
        cost = "" if dearest == 1 else f", of at most {dearest} {unit} each"
        raise ConfigError(
            f"{key}: {size} {unit} cannot be had: with {limit.setting}, {len(limit.per_image)} "
            f"images give {most} regions{cost}; {limit.remedy}"
        )


def _limits(config: RunConfig, strategy: StrategyConfig, manifest: pa.Table) -> Iterator[_Limit]:
    regions = config.regions
    known = manifest.column("num_regions").to_numpy().astype(np.int64)
    if not known.any():  # superpixels are counted only once they are computed
        known = np.full(len(manifest), UNKNOWN)
    if isinstance(regions, SparseRegions):
        known = np.minimum(_num_apart(manifest, regions.apart + 1), regions.per_image)
        yield _Limit(
            per_image=known,
            setting=f"regions.per_image={regions.per_image} and radius={regions.radius}",
            remedy="raise regions.per_image, or lower the query or the radius",
        )
    if strategy.per_image is not None:
        yield _Limit(
            per_image=np.minimum(known, strategy.per_image),
            setting=f"strategy.per_image={strategy.per_image}",
            remedy="raise strategy.per_image, or lower the query",
        )
    if strategy.min_distance is not None:
        yield _Limit(
            per_image=np.minimum(known, _spread(manifest, strategy.min_distance)),
            setting=f"strategy.min_distance={strategy.min_distance:g}",
            remedy="lower strategy.min_distance or the query",
        )


def _sides(manifest: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    height, width = (
        manifest.column(name).to_numpy().astype(np.int64) for name in ("height", "width")
    )
    return height, width


def _num_apart(manifest: pa.Table, side: int) -> np.ndarray:
    """Count the pixels of each image that fit `side` rows or columns apart, int64 (images,)."""
    height, width = _sides(manifest)
    counts: np.ndarray = -(-height // side) * -(-width // side)
    return counts


def _spread(manifest: pa.Table, distance: float) -> np.ndarray:
    """Bound the number of points of each image that lie `distance` apart, int64 (images,).

    It is Groemer's bound for a convex body.
    """
    height, width = _sides(manifest)
    area = 2 / math.sqrt(3) * height * width / distance**2
    counts: np.ndarray = np.floor(area + (height + width) / distance + 1).astype(np.int64)
    counts[np.hypot(height, width) < distance] = 1
    return counts


def _check_candidates(strategy: StrategyConfig, name: str, num_regions: int, *, key: str) -> None:
    """Raise ConfigError if a query takes more regions than the batch rule looks at."""
    batch = strategy.batch
    most = batch.num_candidates(num_regions)
    if most is not None and num_regions > most:
        raise ConfigError(
            f"{key}.candidates={most}: {batch.kind!r} chooses among so many regions, and the query "
            f"of budget.{name} takes {num_regions} or more; raise candidates well above it, or "
            "lower the query"
        )
