"""Provide the bases of batch rules: filling a query in an order, or from candidates."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar, Protocol

import numpy as np
import pyarrow as pa

from ray_al.core.errors import RayALError
from ray_al.core.families.batch import BatchRule, Moment
from ray_al.core.section import Count
from ray_al.core.seeding import generator
from ray_al.select.basket import Basket
from ray_al.select.candidates import Candidates
from ray_al.select.fill import fill_from_candidates, fill_in_order
from ray_al.select.merge import merge_topk

Allows = Callable[[pa.Table], np.ndarray]
"""Rows of SCORE_SCHEMA -> bool (rows,)."""


class ScoredPool(Protocol):
    """The pool as it was scored in one cycle."""

    @property
    def moment(self) -> Moment:
        """The seed of the run, the cycle, and the number of cycles."""

    @property
    def typical_cost(self) -> int:
        """The average cost of a region, in the unit of the budget."""

    @property
    def predicted_shares(self) -> np.ndarray:
        """The share of the pool's area for which each class is predicted, (C,).

        It is known only to rules that read covers.
        """

    def parts(self) -> Iterator[pa.Table]:
        """Yield the scores of the pool in parts (SCORE_SCHEMA), afresh at each call.

        For rules that read covers, each part has a column `covers`, float32 (C,) per region.
        """

    def candidates(self) -> Candidates:
        """Return the best regions with everything the rule reads of them."""


class OrderRule(BatchRule):
    """A rule that takes regions in one order of the whole pool until the budget is spent."""

    @abstractmethod
    def rank(
        self,
        pool: ScoredPool,
        *,
        k: int,
        allows: Allows | None = None,
        is_taken: Allows | None = None,
    ) -> pa.Table:
        """Return the first `k` regions, in order, of those that may be chosen.

        The ranking for k begins with the ranking for any smaller number.

        Args:
            allows: which regions may be chosen; default: all.
            is_taken: which regions the query already holds; default: none.

        Returns:
            SCORE_SCHEMA with `key` and `reason`.
        """
        raise NotImplementedError

    ranks_ahead: ClassVar[bool] = False
    """Whether `rank` puts two regions in the same order whatever the query holds, and however many
    regions it is asked for."""

    def fill(self, basket: Basket, pool: ScoredPool) -> None:
        """Fill the query in the order of `rank`."""

        def order(k: int, allows: Allows) -> pa.Table:
            return self.rank(pool, k=k, allows=allows, is_taken=basket.is_taken)

        fill_in_order(basket, order, typical_cost=pool.typical_cost, ranks_ahead=self.ranks_ahead)


class KeyedRule(OrderRule):
    """A rule that gives each region a key, whatever else is chosen, and takes the highest keys.

    Memory is O(k + one part of the pool).
    """

    ranks_scores: ClassVar[bool] = True
    ranks_ahead: ClassVar[bool] = True

    @abstractmethod
    def keys(self, part: pa.Table, moment: Moment) -> np.ndarray:
        """Return the key of each row, float64 (rows,); higher is better.

        The key of a region must not depend on the part in which it arrives.

        Args:
            part: SCORE_SCHEMA.
        """
        raise NotImplementedError

    def rank(
        self,
        pool: ScoredPool,
        *,
        k: int,
        allows: Allows | None = None,
        is_taken: Allows | None = None,
    ) -> pa.Table:
        """Return the `k` regions with the highest keys; see `OrderRule.rank`."""
        parts = checked(pool)
        if allows is not None:
            parts = (part.filter(pa.array(allows(part))) for part in parts)
        keyed = (with_keys(part, self._checked_keys(part, pool.moment)) for part in parts)
        return with_reason(merge_topk(keyed, k), self.kind)

    def _checked_keys(self, part: pa.Table, moment: Moment) -> np.ndarray:
        """Return `keys`; a nan would put a region out of reach without a word."""
        keys = self.keys(part, moment)
        if np.isnan(keys).any():
            raise RayALError(
                f"strategy.batch.kind={self.kind}: its keys hold nan; give each region a number"
            )
        return keys


class CandidateRule(BatchRule):
    """A rule that chooses among the best regions, which it compares with each other in memory."""

    reads_features: ClassVar[bool] = True
    depends_on_k: ClassVar[bool] = False
    """Whether its choice of k regions may not begin with its choice of fewer."""
    candidates: Count = 100_000
    """Number of regions with the highest scores among which the rule chooses."""

    def num_candidates(self, num_regions: int) -> int:
        """Return the setting `candidates`, whatever the size of the query."""
        return self.candidates

    def weigh(self, candidates: Candidates, moment: Moment) -> Candidates:
        """Return the candidates with the keys that the rule goes by; by default the scores."""
        return candidates

    @abstractmethod
    def choose(self, candidates: Candidates, *, k: int, rng: np.random.Generator) -> np.ndarray:
        """Return the positions of min(k, M) different candidates, int64, in order of choice."""
        raise NotImplementedError

    def choose_rows(self, candidates: Candidates, *, k: int, moment: Moment) -> pa.Table:
        """Return the rows that `choose` chooses; its random draws follow from kind, seed and cycle.

        Returns:
            SCORE_SCHEMA with `key` and `reason`.
        """
        rng = generator(self.kind, moment.seed, moment.cycle)
        positions = np.asarray(self.choose(candidates, k=k, rng=rng))
        wanted = (positions >= 0) & (positions < len(candidates))
        if not wanted.all() or len(np.unique(positions)) != len(positions):
            raise RayALError(
                f"strategy.batch.kind={self.kind}: it chose {positions[:5].tolist()} … of "
                f"{len(candidates)} candidates; it must give different positions from 0 on"
            )
        keyed = with_keys(candidates.table, candidates.keys)
        return with_reason(keyed.take(pa.array(positions, pa.int64())), self.kind)

    def fill(self, basket: Basket, pool: ScoredPool) -> None:
        """Fill the query from the pool's candidates."""
        candidates = pool.candidates()
        if not len(candidates):
            return
        moment = pool.moment

        def pick(among: Candidates, k: int) -> pa.Table:
            return self.choose_rows(among, k=k, moment=moment)

        weighed = self.weigh(candidates, moment)
        fill_from_candidates(basket, weighed, pick, depends_on_k=self.depends_on_k)


def checked(pool: ScoredPool) -> Iterator[pa.Table]:
    """Yield the parts of a pool, each checked before it is used.

    Raises:
        RayALError: a score is nan.
    """
    for part in pool.parts():
        wrong = int(np.isnan(part.column("score").to_numpy()).sum())
        if wrong:
            cycle = pool.moment.cycle
            raise RayALError(
                f"{wrong} scores are not numbers; the model of cycle {cycle} diverged, "
                "lower train.learning_rate"
            )
        yield part


def with_keys(part: pa.Table, keys: np.ndarray) -> pa.Table:
    """Return a part with the column `key`."""
    return part.append_column("key", pa.array(keys, pa.float64()))


def with_reason(ranked: pa.Table, reason: str) -> pa.Table:
    """Return rows with the column `reason`, the same for all."""
    return ranked.append_column("reason", pa.array([reason] * len(ranked), pa.string()))
