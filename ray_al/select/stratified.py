"""Let classes take turns: each gives the best region in which it is predicted and rare.

After CBAL (Bengar et al., WACV 2022, arXiv 2110.04543), which balances a query by predicted
classes, and ClaSP PE (nnActive, 2026, see `class_split`), adapted to regions that hold several
classes: a region represents the rarest class of the pool that fills a good part of it. Not
confirmed: no public code does exactly this.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from ray_al.core.errors import ConfigError
from ray_al.core.families.batch import ScoreFacts
from ray_al.select.merge import KEY_SCHEMA, SPARE_ROWS
from ray_al.select.rules import Allows, OrderRule, ScoredPool

if TYPE_CHECKING:
    from ray_al.core.config import RunConfig

ROUNDING = 1e-5
"""How far a cover, a sum in float32, may fall short of the least share and still count."""
_BEST_FIRST = [
    ("stratum", "ascending"),
    ("key", "descending"),
    ("image_id", "ascending"),
    ("region", "ascending"),
]


def strata_of(covers: np.ndarray, shares: np.ndarray, min_cover: float) -> np.ndarray:
    """Return the class that each region represents, int64 (R,).

    It is the class with the lowest share in the pool among those that cover at least `min_cover` of
    the region (the lower number among equals). If none does, it is the class that covers most of
    it.

    Args:
        covers: (R, C), the share of a region's area for which each class is predicted.
        shares: (C,), of the pool's area.
    """
    rank = _ranks(shares)
    covering = covers >= min_cover - ROUNDING
    rarest = np.where(covering, rank, len(rank)).argmin(axis=1)
    strata: np.ndarray = np.where(covering.any(axis=1), rarest, covers.argmax(axis=1))
    return strata


def take_turns(
    parts: Iterable[pa.Table],
    *,
    k: int,
    shares: np.ndarray,
    min_cover: float,
    is_taken: Allows,
    allows: Allows,
) -> pa.Table:
    """Return the first `k` regions if classes take turns, each giving its highest score.

    The class with the fewest regions taken is next, the rarest among equals, so turns continue from
    the regions taken earlier. A class without a free region gives up its turn. The ranking for k
    begins with the ranking for fewer. Memory is O(k x classes + one part).

    Args:
        parts: SCORE_SCHEMA with `covers`, see `strata_of`.
        shares: (C,), of the pool's area for which each class is predicted.
        is_taken: rows -> bool (rows,), regions of the query so far.
        allows: rows -> bool (rows,), regions that may be chosen; none of those taken.

    Returns:
        SCORE_SCHEMA with `key` and `reason`, in order; ties by image_id, then region.
    """
    taken, best = np.zeros(len(shares), dtype=np.int64), _BestOfEach(k, len(shares))
    for part in parts:
        covers = (
            part.column("covers")
            .combine_chunks()
            .flatten()
            .to_numpy()
            .reshape(len(part), len(shares))
        )
        strata = strata_of(covers, shares, min_cover)
        taken += np.bincount(strata[is_taken(part)], minlength=len(shares))
        keyed = part.append_column("key", part.column("score").cast(pa.float64())).select(
            KEY_SCHEMA.names
        )
        best.add(
            keyed.append_column("stratum", pa.array(strata, pa.int64())).filter(
                pa.array(allows(part))
            )
        )
    table = best.table()
    stratum = table.column("stratum").to_numpy()
    turn = taken[stratum] + _places(stratum)
    order = np.lexsort((_ranks(shares)[stratum], turn))[:k]
    ranked = table.select(KEY_SCHEMA.names).take(pa.array(order))
    return ranked.append_column("reason", pa.array(["stratified"] * len(ranked), pa.string()))


class StratifiedRule(OrderRule):
    """Lets classes take turns, the rarest first, each giving its highest score."""

    kind: Literal["stratified"] = "stratified"
    paper: ClassVar[str] = (
        "classes take turns, rarest first, each its highest score; "
        "after CBAL: Bengar et al., WACV 2022 (arXiv 2110.04543)"
    )
    needs: ClassVar[str] = "scores, the classes that cover each region"
    reads_covers: ClassVar[bool] = True
    min_cover: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Part of a region that a predicted class must fill for the region to stand for that class."""

    def why_not(self, score: str, function: ScoreFacts) -> str | None:
        """Refuse functions that look at no predictions."""
        if function.needs_model:
            return None
        return (
            f"strategy.batch.kind={self.kind!r} looks at predicted classes, "
            f"and {score!r} asks no model; use bvsb or entropy"
        )

    def check(self, config: "RunConfig") -> None:
        """Refuse regions and lazy scoring with which the classes of all regions are not known.

        Raises:
            ConfigError: with key, value and remedy.
        """
        if config.regions.is_sparse:
            raise ConfigError(
                f"strategy.batch.kind={self.kind!r}: with regions.kind={config.regions.kind!r} "
                "an image offers only its best candidates; "
                "use grid, image or superpixels, or another batch rule"
            )
        if config.strategy.lazy is not None:
            raise ConfigError(
                f"strategy.lazy: {self.kind!r} ranks classes by the predictions for the whole "
                "pool, of which lazy scoring sees a part; leave lazy out"
            )

    def rank(
        self,
        pool: ScoredPool,
        *,
        k: int,
        allows: Allows | None = None,
        is_taken: Allows | None = None,
    ) -> pa.Table:
        """Return `take_turns` over the parts of the pool."""
        return take_turns(
            pool.parts(),
            k=k,
            shares=pool.predicted_shares,
            min_cover=self.min_cover,
            is_taken=is_taken or _none,
            allows=allows or _all,
        )


def _all(part: pa.Table) -> np.ndarray:
    return np.ones(len(part), dtype=bool)


def _none(part: pa.Table) -> np.ndarray:
    return np.zeros(len(part), dtype=bool)


class _BestOfEach:
    """The `k` rows with the highest keys of each stratum, over all parts added."""

    def __init__(self, k: int, num_strata: int) -> None:
        self.k, self.floors = k, np.full(num_strata, -np.inf)
        self._pending: list[pa.Table] = []
        self._num_rows = self._num_best = 0

    def add(self, part: pa.Table) -> None:
        """Add rows of KEY_SCHEMA with `stratum`."""
        reaches = part.column("key").to_numpy() >= self.floors[part.column("stratum").to_numpy()]
        self._pending.append(part.filter(pa.array(reaches)))
        self._num_rows += len(self._pending[-1])
        if self._num_rows > 2 * self._num_best + SPARE_ROWS:
            best = self.table()
            stratum, keys = best.column("stratum").to_numpy(), best.column("key").to_numpy()
            last = _places(stratum) == self.k - 1
            self.floors[stratum[last]] = keys[last]
            self._pending, self._num_rows, self._num_best = [best], len(best), len(best)

    def table(self) -> pa.Table:
        """Return the rows by stratum, best first."""
        if not self._pending:
            return KEY_SCHEMA.append(pa.field("stratum", pa.int64())).empty_table()
        table = pa.concat_tables(self._pending).sort_by(_BEST_FIRST)
        return table.filter(
            pa.array(_places(table.column("stratum").to_numpy()) < self.k)
        ).combine_chunks()


def _ranks(shares: np.ndarray) -> np.ndarray:
    """Return the place of each class in the order of turns, int64 (C,)."""
    ranks: np.ndarray = np.empty(len(shares), dtype=np.int64)
    ranks[np.argsort(shares, kind="stable")] = np.arange(len(shares))
    return ranks


def _places(stratum: np.ndarray) -> np.ndarray:
    """Return the place of each row in its stratum, from 0; rows are sorted by stratum."""
    places: np.ndarray = np.arange(len(stratum)) - np.searchsorted(stratum, stratum)
    return places
