"""From a ranking to a query that the budget can pay."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from ray_al.core.types import QUERY_SCHEMA

CentreOf = Callable[[int, int], tuple[float, float]]
BLOCK = 1 << 16


def take_within(
    ranked: pa.Table,
    *,
    amount: int,
    costs: np.ndarray,
    opened: set[int] | None = None,
    skip: Callable[[dict[str, Any]], bool] | None = None,
    per_image: int | None = None,
    min_distance: float | None = None,
    centre_of: CentreOf,
) -> pa.Table:
    """Walk the ranking and take each region that still fits; others are passed over.

    Args:
        ranked: SCORE_SCHEMA with `reason`, best first.
        amount: what the query may cost.
        costs: int64 (rows,), what each region costs at most, in the budget's unit.
        opened: images with a label, that cost nothing more, to which those of the query are added; given where the unit is images.
        skip: regions to pass over; asked only about regions that all other conditions allow.
        per_image: regions of one image at most.
        min_distance: native pixels that centres of two regions of one image must lie apart, at least.
        centre_of: centre (y, x) of a region in native pixels, from image_index and region.

    Returns:
        QUERY_SCHEMA; `rank` counts from 0.
    """
    smallest = int(costs.min(initial=1 << 62)) if opened is None else 0
    spread = _Spread(per_image, min_distance, centre_of)
    positions: list[int] = []
    paid: list[int] = []
    left = amount
    for position, cost, image, region in _walk(ranked, costs):
        if left < smallest or left <= 0:
            break
        if opened is not None and image in opened:
            cost = 0
        if cost > left or not spread.allows(image, region) or (skip is not None and skip(ranked.slice(position, 1).to_pylist()[0])):
            continue
        left -= cost
        spread.add(image, region)
        positions.append(position)
        paid.append(cost)
        if opened is not None:
            opened.add(image)
    return _query(ranked.take(pa.array(positions, pa.int64())), np.array(paid, dtype=np.int64))


class _Spread:
    """How the regions taken so far lie in their images."""

    def __init__(self, per_image: int | None, min_distance: float | None, centre_of: CentreOf) -> None:
        self.per_image, self.min_distance, self.centre_of = per_image, min_distance, centre_of
        self.taken: dict[int, list[int]] = defaultdict(list)

    def allows(self, image: int, region: int) -> bool:
        others = self.taken.get(image)
        if not others:
            return self.per_image != 0
        if self.per_image is not None and len(others) >= self.per_image:
            return False
        if self.min_distance is None:
            return True
        y, x = self.centre_of(image, region)
        centres = (self.centre_of(image, other) for other in others)
        return all((y - v) ** 2 + (x - u) ** 2 >= self.min_distance**2 for v, u in centres)

    def add(self, image: int, region: int) -> None:
        if self.per_image is not None or self.min_distance is not None:
            self.taken[image].append(region)


def _walk(ranked: pa.Table, costs: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
    """Position, cost, image_index and region of each row; a block at a time becomes Python numbers."""
    images, regions = ranked.column("image_index").to_numpy(), ranked.column("region").to_numpy()
    for start in range(0, len(ranked), BLOCK):
        block = slice(start, start + BLOCK)
        yield from zip(range(start, len(ranked)), costs[block].tolist(), images[block].tolist(), regions[block].tolist(), strict=False)


def _query(taken: pa.Table, costs: np.ndarray) -> pa.Table:
    columns = {
        **{name: taken.column(name) for name in taken.column_names},
        "rank": pa.array(np.arange(len(taken)), pa.int32()),
        "cost": pa.array(costs, pa.int64()),
    }
    return pa.table([columns[name] for name in QUERY_SCHEMA.names], schema=QUERY_SCHEMA).combine_chunks()
