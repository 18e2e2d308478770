"""A query while it is being filled: what it holds, what is left of its amount, and which regions may still go in."""

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
"""The cheapest region's cost where there is no region."""


class Basket:
    """Takes regions in the order in which they are offered, each at most once, as long as the amount pays for them.

    Args:
        amount: what the query may cost, in the budget's unit.
        costs_of: rows of SCORE_SCHEMA -> int64 (rows,), what each region costs at most; of images, what it costs if it is its image's first.
        opened: images with a label, whose other regions cost nothing, bool (images,); given where the unit is images.
        skip: (image_index, region) of a region to pass over; asked only about regions that all other conditions allow.
        per_image: regions of one image at most.
        min_distance: native pixels that centres of two regions of one image must lie apart, at least.
        boxes_of: (image_index, regions int (n,)) -> int32 (n, 4), their boxes.
        limit: regions at most.

    Attributes:
        left: what is left of the amount.
        cheapest: the lowest cost that `allows` saw since `look_again`: where `left` is below it, nothing of that fits any more.
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
    ) -> None:
        self.left, self.limit, self.skip = amount, limit, skip
        self.costs_of, self.opened = costs_of, None if opened is None else opened.copy()
        self.cheapest, self.has_passed_cost = 0, False
        self._spread = _Spread(per_image, min_distance, boxes_of)
        self._rows: list[pa.Table] = []
        self._paid: list[np.ndarray] = []
        self._taken = self._offered = np.zeros(0, dtype=np.int64)  # names, ascending

    @property
    def num_taken(self) -> int:
        return len(self._taken)

    @property
    def is_full(self) -> bool:
        """Whether the amount is spent, or pays for nothing that was seen."""
        return self.left <= 0 or self.left < self.cheapest or self.num_taken == self.limit

    def look_again(self) -> None:
        """Forget the cheapest cost: the regions that may go in are looked through anew."""
        self.cheapest = NOTHING

    def costs(self, table: pa.Table) -> np.ndarray:
        """What each row would cost now, int64 (rows,)."""
        costs = self.costs_of(table)
        if self.opened is not None:
            costs[self.opened[table.column("image_index").to_numpy()]] = 0
        return costs

    def allows(self, table: pa.Table) -> np.ndarray:
        """bool (rows,): regions that were not offered yet, that `left` pays for, and that lie well beside those taken."""
        costs = self.costs(table)
        allowed: np.ndarray = (costs <= self.left) & ~is_among(_names(table), self._offered)
        allowed &= self._spread.allow(table, allowed)
        self.cheapest = min(self.cheapest, int(costs[allowed].min(initial=NOTHING)))
        return allowed

    def is_taken(self, table: pa.Table) -> np.ndarray:
        """bool (rows,)."""
        return is_among(_names(table), self._taken)

    def offer(self, ranked: pa.Table) -> None:
        """Walk the rows (SCORE_SCHEMA with `reason`), best first, and take each region that may go in."""
        positions: list[int] = []
        paid: list[int] = []
        taken = self.num_taken
        for position, cost, image, region in _walk(ranked, self.costs_of(ranked)):
            if self.left <= 0 or taken + len(positions) == self.limit:
                break
            if self.opened is not None and self.opened[image]:
                cost = 0
            if cost > self.left:
                self.has_passed_cost = True
                continue
            if not self._spread.allows(image, region) or (
                self.skip is not None and self.skip(image, region)
            ):
                continue
            self.left -= cost
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
        """QUERY_SCHEMA; `rank` counts from 0 in the order in which regions were taken."""
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
    """How the regions taken so far lie in their images."""

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
        """`allows` of those rows that `among`, bool (rows,), names; False of others."""
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
        """Images of which a region was taken, and those of them that give no more; ascending."""
        touched = np.array(sorted(self.taken), dtype=np.int64)
        counts = np.array([len(self.taken[image]) for image in touched.tolist()])
        return touched, touched[counts >= (NOTHING if self.per_image is None else self.per_image)]

    def _far(self, image: int, regions: np.ndarray) -> np.ndarray:
        """bool (n,): regions whose centres lie far enough from all that were taken of the image."""
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
    """A number for each region's name, int64 (rows,)."""
    numbers: np.ndarray = (
        table.column("image_index").to_numpy().astype(np.int64) << 32
        | table.column("region").to_numpy()
    )
    return numbers


def _walk(ranked: pa.Table, costs: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
    """Position, cost, image_index and region of each row; a block at a time becomes Python numbers."""
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
