"""Turn the choices of a batch rule into a query that the amount pays for.

A rule is asked for as many regions as the amount pays for, and for more only if filters remove
some. That number follows from the costs of the regions, so a rule makes the same choice in every
unit that pays for the same number of regions.

Rules whose order never changes rank more than that at once, of which only so many are looked at: a
wider look then seldom reads the pool again.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa

from ray_al.select.basket import Basket
from ray_al.select.candidates import Candidates

Allows = Callable[[pa.Table], np.ndarray]
Order = Callable[[int, Allows], pa.Table]
"""(k, allows) -> the best k rows among those that `allows` lets through, best first."""

ONE_MORE = 1
"""How many regions rules are asked for beyond those that are paid. It is part of the definition of
a query: rules that cluster choose differently for another number.
"""
MAX_TRIES = 8
AHEAD_ROWS = 1 << 14
"""Rows that are ranked beyond those asked for, where a wider look can use them."""


def fill_in_order(
    basket: Basket, order: Order, *, typical_cost: int, ranks_ahead: bool = False
) -> None:
    """Fill the basket in the order of keys that do not depend on what else is chosen.

    Each pass leaves out regions that were offered, cost too much or are barred by filters, and
    doubles the multiple of the number still paid for that it asks for. The query is the same as if
    the whole pool had been ranked, and memory is that of the query.

    Args:
        typical_cost: average cost of a region, from which the first number to ask for follows.
        ranks_ahead: whether `order` may be asked for more regions than a pass needs, so that later
            passes seldom read the pool again. It must put any two regions in the same order,
            however many it is asked for.
    """
    times = 1
    can_rank_ahead = ranks_ahead and basket.only_narrows and basket.is_order_fixed
    look = _Ahead(basket, order) if can_rank_ahead else partial(_look_afresh, basket, order)
    while not basket.is_full:
        k = times * (basket.amount_left // max(1, typical_cost) + ONE_MORE)
        ranked = look(k)
        basket.offer(ranked)
        if len(ranked) < k:
            return
        times *= 2


def _look_afresh(basket: Basket, order: Order, k: int) -> pa.Table:
    """Return the best `k` regions that may go in, after a pass over the pool."""
    basket.look_again()
    return order(k, basket.allows)


class _Ahead:
    """Returns the best regions that may go in, from those of an earlier pass where that is exact.

    Regions that may go in later are among those that may go in now, so the first ones of an earlier
    ranking that are left are the first ones of the pool, as long as there are enough.
    """

    def __init__(self, basket: Basket, order: Order) -> None:
        self.basket, self.order = basket, order
        self._ranked: pa.Table | None = None
        self._has_all = False

    def __call__(self, k: int) -> pa.Table:
        """Return the best `k` regions that may go in, best first."""
        if self._ranked is not None:
            if self._has_all:
                self.basket.look_again()
            # Otherwise the lowest cost of the last pass stands: regions that are not kept may still
            # be cheaper than those that are.
            self._ranked = self._ranked.filter(pa.array(self.basket.allows(self._ranked)))
            if self._has_all or len(self._ranked) >= k:
                return self._ranked.slice(0, k)
        wanted = k + AHEAD_ROWS + (k if self.basket.has_filters else 0)
        self._ranked = _look_afresh(self.basket, self.order, wanted)
        self._has_all = len(self._ranked) < wanted
        return self._ranked.slice(0, k)


def fill_from_candidates(
    basket: Basket,
    candidates: Candidates,
    pick: Callable[[Candidates, int], pa.Table],
    *,
    depends_on_k: bool,
) -> None:
    """Fill the basket by a rule that compares its candidates with each other.

    Regions of the rule's choice that filters remove are replaced by a further choice, of the
    missing number, among the candidates that may still go in; rules on features then count the
    regions taken as labelled. If a rule's longer answer begins with the shorter one, it is asked
    for a longer answer instead, as long as only filters removed regions.

    Args:
        pick: the rule: candidates and k -> the rows that it chooses, in order.
        depends_on_k: whether its answer for k regions may not begin with its answer for fewer.
    """

    def ask(rows: np.ndarray, k: int) -> pa.Table:
        return pick(candidates.only(rows, taken=basket.is_taken(candidates.table)), k)

    while True:
        basket.look_again()
        rows = np.flatnonzero(basket.allows(candidates.table))
        if basket.is_full:
            return
        guess = num_paid_on_average(basket.costs(candidates.table)[rows], basket.amount_left)
        if depends_on_k:
            basket.offer(_paid_choice(basket, partial(ask, rows), guess=guess, num=len(rows)))
        else:
            _offer_longer(basket, partial(ask, rows), guess=guess, num=len(rows))


def num_paid_on_average(costs: np.ndarray, amount: int) -> int:
    """Return how many regions `amount` pays for at the mean of `costs`; all if they are free.

    Args:
        costs: int64 (n,), each at most `amount`.
    """
    total = int(costs.sum())
    return min(len(costs), max(1, amount * len(costs) // total)) if total else len(costs)


def _offer_longer(basket: Basket, ask: Callable[[int], pa.Table], *, guess: int, num: int) -> None:
    """Offer ever longer answers, each beginning with the one before, until one costs too much."""
    walked, k = 0, guess + ONE_MORE
    while True:
        ranked = ask(min(k, num))
        basket.offer(ranked.slice(walked))
        walked = len(ranked)
        if basket.is_full or basket.has_passed_cost or walked >= num:
            return
        k *= 2


def _paid_choice(
    basket: Basket, ask: Callable[[int], pa.Table], *, guess: int, num: int
) -> pa.Table:
    """Return the choice of a rule that was asked for exactly as many regions as are paid for.

    Costs differ between regions, so that number is known only once regions are chosen. It is
    searched for between the numbers found too small and too large. If all costs are equal, the
    first guess is right.
    """
    low, high, n = 0, num + 1, guess
    best = None
    for _ in range(MAX_TRIES):
        ranked = ask(min(n + ONE_MORE, num))
        num_paid, spent, left = _walk_off(basket, ranked.slice(0, n))
        if num_paid < n:
            high, best = n, best if low else ranked
        else:
            low, best = n, ranked
            if left < max(1, basket.cheapest) or n == num:
                return ranked
        if high - low <= 1:
            break
        n = min(high - 1, max(low + 1, n * basket.amount_left // spent if spent else 2 * n))
    assert best is not None
    return best


def _walk_off(basket: Basket, ranked: pa.Table) -> tuple[int, int, int]:
    """Walk down the rows until the amount is spent.

    Returns:
        The number of rows paid for one after another, the cost of all rows, and the amount left
        after all of them.
    """
    costs = basket.costs(ranked)
    if basket.opened is not None:  # an image is paid once
        firsts = np.zeros(len(ranked), dtype=bool)
        firsts[np.unique(ranked.column("image_index").to_numpy(), return_index=True)[1]] = True
        costs = np.where(firsts, costs, 0)
    totals = np.cumsum(costs)
    num_paid = min(
        int(np.searchsorted(totals, basket.amount_left, side="right")),
        int(np.searchsorted(totals, basket.amount_left, side="left")) + 1,
    )
    return num_paid, int(totals[-1]), basket.amount_left - int(totals[-1])
