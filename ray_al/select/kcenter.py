"""k-center greedy: add the region farthest from all labelled and chosen ones (core-set; Sener and Savarese, ICLR 2018, arXiv 1708.00489)."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ray_al.select.candidates import Candidates, fill_by_key
from ray_al.select.rules import CandidateRule
from ray_al.select.space import Space, centred

POOL = 1024
"""The farthest regions among which a pass picks."""


def kcenter(
    candidates: Candidates, *, k: int, rng: np.random.Generator, tolerance: float = 0.02
) -> tuple[np.ndarray, float]:
    """Greedy farthest-first traversal, several picks a pass over the candidates.

    A pass picks among the farthest regions, whose distances it keeps up to date, as long as the farthest of them is at least
    (1 - tolerance) times as far as any region outside could be. So each pick is at most `tolerance` short of the greedy one,
    and with 0 it is the greedy one. Without labelled regions the first pick is the highest key (the paper starts from a labelled
    set). Once every region coincides with a centre the rest goes by key. Nothing is drawn from `rng`.

    Args:
        tolerance: in [0, 1).

    Returns:
        Positions, int64, in order of choice, of which the first k' are the answer for k'; and the radius, the largest distance from
        a candidate to its nearest labelled or chosen region (inf without any, 0 without candidates).
    """
    num = len(candidates)
    if num == 0:
        return np.zeros(0, dtype=np.int64), 0.0
    space = Space.of(np.concatenate(centred(candidates.features, candidates.labelled)))
    nearest = np.full(num, np.inf, dtype=np.float32)
    space.bring_closer(nearest, np.arange(num, len(space)))
    chosen: list[int] = []
    while len(chosen) < k:
        picks = (
            _farthest(space, nearest, k - len(chosen), tolerance)
            if len(space) > num or chosen
            else [int(candidates.keys.argmax())]
        )
        if not picks:
            break
        space.bring_closer(nearest, np.array(picks))
        nearest[picks] = 0
        chosen += picks
    return fill_by_key(chosen, candidates.keys, k), float(np.sqrt(nearest.max()))


def _farthest(space: Space, nearest: np.ndarray, count: int, tolerance: float) -> list[int]:
    rows, bound = _pool(nearest)
    local, distances = space.take(rows), nearest[rows]
    picks: list[int] = []
    while len(picks) < count:
        farthest = int(distances.argmax())
        # A tie with a region outside ends the pass: the outer one may have the lower position.
        if distances[farthest] <= 0 or (
            picks and distances[farthest] <= bound * (1 - tolerance) ** 2
        ):
            break
        picks.append(int(rows[farthest]))
        distances = np.minimum(distances, local.nearest(slice(None), np.array([farthest])))
        distances[farthest] = 0
    return picks


def _pool(nearest: np.ndarray) -> tuple[np.ndarray, float]:
    """The farthest POOL positions, ascending, ties by lower position; and a bound on the squared distance of all others."""
    if len(nearest) <= POOL:
        return np.arange(len(nearest)), 0.0
    bound = np.partition(nearest, len(nearest) - POOL)[len(nearest) - POOL]
    above = np.flatnonzero(nearest > bound)
    tied = np.flatnonzero(nearest == bound)[: POOL - len(above)]
    return np.sort(np.concatenate([above, tied])), float(bound)


class KCenterRule(CandidateRule):
    """The region farthest from all labelled and chosen ones, again and again."""

    kind: Literal["kcenter"] = "kcenter"
    paper: ClassVar[str] = (
        "Sener and Savarese, ICLR 2018 (arXiv 1708.00489): k-center greedy on features"
    )
    needs: ClassVar[str] = "of the best candidates: features"
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """Share by which a chosen region may be less far than the farthest one, which saves passes over
    the candidates.
    """

    def choose(self, candidates: Candidates, *, k: int, rng: np.random.Generator) -> np.ndarray:
        return kcenter(candidates, k=k, rng=rng, tolerance=self.tolerance)[0]
