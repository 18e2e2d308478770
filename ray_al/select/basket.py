"""Build a query: its regions, the amount left, and the conditions for further regions."""

from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from ray_al.core.arrays import is_among
from ray_al.core.types import QUERY_SCHEMA

CostsOf = Callable[[pa.Table], np.ndarray]
Skip = Callable[[int, int], bool]
BoxesOf = Callable[[int, np.ndarray], np.ndarray]
BLOCK = 1 << 16
NOTHING = 1 << 62
"""Cost of the cheapest region if there is no region."""


class Basket:
    """A query under construction.

    It takes regions in the order in which they are offered, each at most once, as long as the
    amount pays for them.

    Args:
        amount: the most that the query may cost, in the unit of the budget.
        costs_of: rows of SCORE_SCHEMA -> int64 (rows,), the upper bound of each region's cost. If
            the unit is images, the cost of a region that is the first of its image.
        opened: bool (images,), images with a label, whose other regions are free; only if the unit
            is images.
        skip: (image_index, region) -> whether to pass over that region. Called only for regions
            that meet all other conditions.
        per_image: largest number of regions of one image.
        min_distance: smallest distance, in native pixels, between the centres of two regions of one
            image.
        boxes_of: (image_index, regions int (n,)) -> int32 (n, 4), their boxes.
        limit: largest number of regions.
        is_order_fixed: whether the order of the regions stays as it is while the query is filled.

    Attributes:
        amount_left: the part of the amount that is not spent.
        cheapest: the lowest cost that `allows` saw since `look_again`. Once `left` is lower, none
            of those regions can be paid.
        has_filters: whether regions are passed over for reasons other than their cost.
        has_passed_cost: whether a region was ever passed over because it costs more than was left.
    """

    def __init__(
        self,
        amount: int,
        *,
        costs_of: CostsOf,
        boxes_of: BoxesOf,
        opened: np.ndarray | None = None,
        skip: Skip | None = None,
        per_image: int | None = None,
        min_distance: float | None = None,
        limit: int | None = None,
        is_order_fixed: bool = True,
    ) -> None:
        self.amount_left, self.limit, self.skip = amount, limit, skip
        self.is_order_fixed = is_order_fixed
        self.has_filters = skip is not None or per_image is not None or min_distance is not None
        self.costs_of, self.opened = costs_of, None if opened is None else opened.copy()
        self.cheapest, self.has_passed_cost = 0, False
        self._spread = _Spread(per_image, min_distance, boxes_of)
        self._rows: list[pa.Table] = []
        self._paid: list[np.ndarray] = []
        self._taken = np.zeros(0, dtype=np.int64)  # names, ascending
        self._offered = self._taken

    @property
    def num_taken(self) -> int:
        """The number of regions taken so far."""
        return len(self._taken)

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached, the amount is spent, or it pays for no region seen."""
        return (
            self.amount_left <= 0
            or self.amount_left < self.cheapest
            or self.num_taken == self.limit
        )

    @property
    def only_narrows(self) -> bool:
        """Whether a region that may not go in now can never go in later.

        It can if the unit is images: it becomes free once another region of its image is taken.
        """
        return self.opened is None

    def look_again(self) -> None:
        """Forget the cheapest cost, before regions are examined afresh."""
        self.cheapest = NOTHING

    def costs(self, table: pa.Table) -> np.ndarray:
        """Return the current cost of each row, int64 (rows,)."""
        costs = self.costs_of(table)
        if self.opened is not None:
            costs[self.opened[table.column("image_index").to_numpy()]] = 0
        return costs

    def allows(self, table: pa.Table) -> np.ndarray:
        """Return which rows may go in, bool (rows,).

        Those are regions that were not offered yet, that `left` pays for, and that meet the
        conditions on the regions of one image.
        """
        costs = self.costs(table)
        allowed: np.ndarray = (costs <= self.amount_left) & ~is_among(_names(table), self._offered)
        allowed &= self._spread.allow(table, allowed)
        self.cheapest = min(self.cheapest, int(costs[allowed].min(initial=NOTHING)))
        return allowed

    def is_taken(self, table: pa.Table) -> np.ndarray:
        """Return which rows are in the query, bool (rows,)."""
        return is_among(_names(table), self._taken)

    def offer(self, ranked: pa.Table) -> None:
        """Take each region that may go in, walking the rows in order.

        Args:
            ranked: SCORE_SCHEMA with `reason`, best first.
        """
        positions: list[int] = []
        paid: list[int] = []
        taken = self.num_taken
        for position, cost, image, region in _walk(ranked, self.costs_of(ranked)):
            if self.amount_left <= 0 or taken + len(positions) == self.limit:
                break
            if self.opened is not None and self.opened[image]:
                cost = 0
            if cost > self.amount_left:
                self.has_passed_cost = True
                continue
            if not self._spread.allows(image, region) or (
                self.skip is not None and self.skip(image, region)
            ):
                continue
            self.amount_left -= cost
            self._spread.add(image, region)
            positions.append(position)
            paid.append(cost)
            if self.opened is not None:
                self.opened[image] = True
        rows = ranked.take(pa.array(positions, pa.int64()))
        self._rows.append(rows)
        self._paid.append(np.array(paid, dtype=np.int64))
        self._taken = np.union1d(self._taken, _names(rows))
        self._offered = np.union1d(self._offered, _names(ranked))

    def query(self) -> pa.Table:
        """Return QUERY_SCHEMA; `rank` counts from 0 in the order in which regions were taken."""
        if not self._rows:
            return QUERY_SCHEMA.empty_table()
        names = [name for name in QUERY_SCHEMA.names if name not in ("rank", "cost")]
        taken = pa.concat_tables([rows.select(names) for rows in self._rows])
        columns = {
            **{name: taken.column(name) for name in names},
            "rank": pa.array(np.arange(len(taken)), pa.int32()),
            "cost": pa.array(np.concatenate(self._paid), pa.int64()),
        }
        return pa.table(
            [columns[name] for name in QUERY_SCHEMA.names], schema=QUERY_SCHEMA
        ).combine_chunks()


class _Spread:
    """How the regions taken so far are spread over images and within them."""

    def __init__(
        self, per_image: int | None, min_distance: float | None, boxes_of: BoxesOf
    ) -> None:
        self.per_image, self.min_distance, self.boxes_of = per_image, min_distance, boxes_of
        self.taken: dict[int, list[int]] = defaultdict(list)
        self._images: tuple[np.ndarray, np.ndarray] | None = None

    def allows(self, image: int, region: int) -> bool:
        others = self.taken.get(image)
        if not others:
            return self.per_image != 0
        if self.per_image is not None and len(others) >= self.per_image:
            return False
        return self.min_distance is None or bool(self._far(image, np.array([region]))[0])

    def allow(self, table: pa.Table, among: np.ndarray) -> np.ndarray:
        """Return `allows` of the rows in `among`, bool (rows,); False for all other rows."""
        allowed = among.copy()
        if not self.taken:
            return allowed if self.per_image != 0 else np.zeros_like(among)
        images, regions = table.column("image_index").to_numpy(), table.column("region").to_numpy()
        if self._images is None:
            self._images = self._touched_and_full()
        touched, full = self._images
        allowed &= ~is_among(images, full)
        if self.min_distance is not None:
            rows = np.flatnonzero(allowed & is_among(images, touched))
            rows = rows[np.argsort(images[rows], kind="stable")]
            for group in np.split(rows, np.flatnonzero(np.diff(images[rows])) + 1):
                if len(group):
                    allowed[group] = self._far(int(images[group[0]]), regions[group])
        return allowed

    def _touched_and_full(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the images with a region taken, and those of them that give no more; ascending."""
        touched = np.array(sorted(self.taken), dtype=np.int64)
        counts = np.array([len(self.taken[image]) for image in touched.tolist()])
        return touched, touched[counts >= (NOTHING if self.per_image is None else self.per_image)]

    def _far(self, image: int, regions: np.ndarray) -> np.ndarray:
        """Return which regions have centres far enough from all others taken, bool (n,)."""
        assert self.min_distance is not None
        centres, others = (
            self._centres(image, numbers) for numbers in (regions, np.array(self.taken[image]))
        )
        squared = ((centres[:, None] - others[None]) ** 2).sum(axis=2)
        far: np.ndarray = (squared >= self.min_distance**2).all(axis=1)
        return far

    def _centres(self, image: int, regions: np.ndarray) -> np.ndarray:
        boxes = self.boxes_of(image, regions)
        return (boxes[:, :2].astype(np.float64) + boxes[:, 2:]) / 2

    def add(self, image: int, region: int) -> None:
        if self.per_image is not None or self.min_distance is not None:
            self.taken[image].append(region)
            self._images = None


def _names(table: pa.Table) -> np.ndarray:
    """Return a number that identifies each region, int64 (rows,)."""
    numbers: np.ndarray = (
        table.column("image_index").to_numpy().astype(np.int64) << 32
        | table.column("region").to_numpy()
    )
    return numbers


def _walk(ranked: pa.Table, costs: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
    """Yield position, cost, image_index and region of each row, converted in blocks."""
    images, regions = ranked.column("image_index").to_numpy(), ranked.column("region").to_numpy()
    for start in range(0, len(ranked), BLOCK):
        block = slice(start, start + BLOCK)
        yield from zip(
            range(start, len(ranked)),
            costs[block].tolist(),
            images[block].tolist(),
            regions[block].tolist(),
            strict=False,
        )
