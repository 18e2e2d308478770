"""What batch rules derive from: how a query is filled from scores in order, or from candidates."""

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
        """The run's seed, the cycle, and how many cycles there are."""

    @property
    def typical_cost(self) -> int:
        """What a region costs on average, in the budget's unit."""

    @property
    def predicted_shares(self) -> np.ndarray:
        """(C,): the share of the pool's area that each class is predicted for.

        It is known only to rules that read covers.
        """

    def parts(self) -> Iterator[pa.Table]:
        """SCORE_SCHEMA in parts, each time anew.

        There is a column `covers`, float32 (C,) a region, for rules that read covers.
        """

    def candidates(self) -> Candidates:
        """The best regions, with what the rule reads of them."""


class OrderRule(BatchRule):
    """Regions are taken in an order of the whole pool, until the budget is spent."""

    @abstractmethod
    def rank(
        self,
        pool: ScoredPool,
        *,
        k: int,
        allows: Allows | None = None,
        is_taken: Allows | None = None,
    ) -> pa.Table:
        """The first `k` regions of those that may be chosen, in order.

        The answer for k begins with that for fewer.

        Args:
            allows: which regions may be chosen; default: all.
            is_taken: which regions the query holds already; default: none.

        Returns:
            SCORE_SCHEMA with `key` and `reason`.
        """
        raise NotImplementedError

    def fill(self, basket: Basket, pool: ScoredPool) -> None:
        def order(k: int, allows: Allows) -> pa.Table:
            return self.rank(pool, k=k, allows=allows, is_taken=basket.is_taken)

        fill_in_order(basket, order, typical_cost=pool.typical_cost)


class KeyedRule(OrderRule):
    """Each region has a key of its own, whatever else is chosen; the highest keys are taken.

    Memory is O(k + a part of the pool).
    """

    ranks_scores: ClassVar[bool] = True

    @abstractmethod
    def keys(self, part: pa.Table, moment: Moment) -> np.ndarray:
        """float64 (rows,), higher is better; the same for a region in whatever part it comes.

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
        parts = checked(pool)
        if allows is not None:
            parts = (part.filter(pa.array(allows(part))) for part in parts)
        keyed = (with_keys(part, self.keys(part, pool.moment)) for part in parts)
        return with_reason(merge_topk(keyed, k), self.kind)


class CandidateRule(BatchRule):
    """Regions are chosen among the best ones, which are looked at together, in memory."""

    reads_features: ClassVar[bool] = True
    depends_on_k: ClassVar[bool] = False
    """Whether its answer for k regions does not begin with its answer for fewer."""
    candidates: Count = 100_000
    """Number of regions with the highest scores among which the rule chooses."""

    def num_candidates(self, num_regions: int) -> int:
        return self.candidates

    def weigh(self, candidates: Candidates, moment: Moment) -> Candidates:
        """The candidates with the keys that the rule goes by; by default the scores."""
        return candidates

    @abstractmethod
    def choose(self, candidates: Candidates, *, k: int, rng: np.random.Generator) -> np.ndarray:
        """Positions of min(k, M) candidates, int64, none twice, in order of choice."""
        raise NotImplementedError

    def pick(self, candidates: Candidates, *, k: int, moment: Moment) -> pa.Table:
        """The rows that `choose` chooses; its draws follow from kind, seed and cycle.

        Returns:
            SCORE_SCHEMA with `key` and `reason`.
        """
        rng = generator(self.kind, moment.seed, moment.cycle)
        positions = self.choose(candidates, k=k, rng=rng)
        keyed = with_keys(candidates.table, candidates.keys)
        return with_reason(keyed.take(pa.array(positions, pa.int64())), self.kind)

    def fill(self, basket: Basket, pool: ScoredPool) -> None:
        candidates = pool.candidates()
        if not len(candidates):
            return
        moment = pool.moment

        def pick(among: Candidates, k: int) -> pa.Table:
            return self.pick(among, k=k, moment=moment)

        weighed = self.weigh(candidates, moment)
        fill_from_candidates(basket, weighed, pick, depends_on_k=self.depends_on_k)


def checked(pool: ScoredPool) -> Iterator[pa.Table]:
    """The parts of a pool, each of which is looked at before it is used.

    Raises:
        RayALError: a score is not a number.
    """
    for part in pool.parts():
        wrong = int(np.isnan(part.column("score").to_numpy()).sum())
        if wrong:
            cycle = pool.moment.cycle
            raise RayALError(
                f"{wrong} scores are not numbers; the model of cycle {cycle} diverged, lower train.learning_rate"
            )
        yield part


def with_keys(part: pa.Table, keys: np.ndarray) -> pa.Table:
    """A part with the column `key`."""
    return part.append_column("key", pa.array(keys, pa.float64()))


def with_reason(ranked: pa.Table, reason: str) -> pa.Table:
    """Rows with the column `reason`, the same for all."""
    return ranked.append_column("reason", pa.array([reason] * len(ranked), pa.string()))
