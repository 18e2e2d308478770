"""From what a batch rule would choose to a query that the amount pays.

A rule is asked for as many regions as the amount pays, and for more only where filters took some away. That number is found from what
regions cost, so that a rule chooses the same in every unit in which the same number of regions is paid.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa

from ray_al.select.basket import Basket
from ray_al.select.candidates import Candidates

Allows = Callable[[pa.Table], np.ndarray]
Order = Callable[[int, Allows], pa.Table]
"""(k, allows) -> the best k rows of those that `allows` lets through, best first."""

ONE_MORE = 1
"""Rules are asked for so many regions beyond those that are paid: where rules cluster, another number makes another query, and those of
runs that are carried on must stay what they were."""
MAX_TRIES = 8


def fill_in_order(basket: Basket, order: Order, *, typical_cost: int) -> None:
    """Fill the basket in the order of keys that regions have by themselves, whatever else is chosen.

    Each pass leaves out what was offered, what costs too much and what filters bar, and asks for twice as many times what is still paid:
    the query is the same as if the whole pool had been ranked, and the memory that of the query.

    Args:
        typical_cost: what a region costs on average, which tells how many to ask for first.
    """
    times = 1
    while not basket.is_full:
        k = times * (basket.left // max(1, typical_cost) + ONE_MORE)
        basket.look_again()
        ranked = order(k, basket.allows)
        basket.offer(ranked)
        if len(ranked) < k:
            return
        times *= 2


def fill_from_candidates(
    basket: Basket,
    candidates: Candidates,
    pick: Callable[[Candidates, int], pa.Table],
    *,
    depends_on_k: bool,
) -> None:
    """Fill the basket by a rule that looks at its candidates together.

    What filters took away of the rule's choice is made up for by another choice of the number that is missing, among the candidates that may
    still go in; for rules on features, the regions taken count as labelled there. A rule whose longer answer begins with the shorter is asked
    for a longer one instead, as long as only filters took some away.

    Args:
        pick: the rule: candidates and k -> the rows that it chooses of them, in order.
        depends_on_k: whether its answer for k regions does not begin with its answer for fewer.
    """

    def ask(rows: np.ndarray, k: int) -> pa.Table:
        return pick(candidates.only(rows, taken=basket.is_taken(candidates.table)), k)

    while True:
        basket.look_again()
        rows = np.flatnonzero(basket.allows(candidates.table))
        if basket.is_full:
            return
        guess = num_paid_on_average(basket.costs(candidates.table)[rows], basket.left)
        if depends_on_k:
            basket.offer(_paid_choice(basket, partial(ask, rows), guess=guess, num=len(rows)))
        else:
            _offer_longer(basket, partial(ask, rows), guess=guess, num=len(rows))


def num_paid_on_average(costs: np.ndarray, amount: int) -> int:
    """How many regions `amount` pays at the mean of `costs`, each at most `amount`; all where none costs anything."""
    total = int(costs.sum())
    return min(len(costs), max(1, amount * len(costs) // total)) if total else len(costs)


def _offer_longer(basket: Basket, ask: Callable[[int], pa.Table], *, guess: int, num: int) -> None:
    """Offer the ranking of a rule whose longer answer begins with the shorter, until a region costs too much."""
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
    """The choice of a rule that was asked for just as many regions as are paid.

    Costs differ from region to region, so that the number shows only once regions are chosen: it is sought between those found too small and
    too large. Where the costs are all the same, the first one is right.
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
        n = min(high - 1, max(low + 1, n * basket.left // spent if spent else 2 * n))
    assert best is not None
    return best


def _walk_off(basket: Basket, ranked: pa.Table) -> tuple[int, int, int]:
    """How many of the first rows are paid one after another until the amount is spent, what all rows cost, and what is left of the amount."""
    costs = basket.costs(ranked)
    if basket.opened is not None:  # an image is paid once
        firsts = np.zeros(len(ranked), dtype=bool)
        firsts[np.unique(ranked.column("image_index").to_numpy(), return_index=True)[1]] = True
        costs = np.where(firsts, costs, 0)
    totals = np.cumsum(costs)
    num_paid = min(
        int(np.searchsorted(totals, basket.left, side="right")),
        int(np.searchsorted(totals, basket.left, side="left")) + 1,
    )
    return num_paid, int(totals[-1]), basket.left - int(totals[-1])
