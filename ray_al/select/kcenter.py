"""k-center greedy: add the region farthest from all labelled and chosen ones.

Core-set: Sener and Savarese, ICLR 2018 (arXiv 1708.00489).
"""

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ray_al.select.candidates import Candidates, fill_by_key
from ray_al.select.rules import CandidateRule
from ray_al.select.space import FeatureSpace, centred

POOL = 1024
"""How many of the farthest regions a pass picks from."""


def kcenter(
    candidates: Candidates, *, k: int, rng: np.random.Generator, tolerance: float = 0.02
) -> tuple[np.ndarray, float]:
    """Choose by greedy farthest-first traversal, several picks per pass over the candidates.

    A pass picks among the farthest regions and keeps their distances up to date, as long as the
    farthest of them is at least (1 - tolerance) times as far as any other region could be. Each
    pick is thus at most `tolerance` short of the greedy one; with 0 it is the greedy one. If no
    region is labelled, the first pick is the highest key (the paper starts from a labelled set).
    Once every region coincides with a centre, the highest keys follow. Nothing is drawn from `rng`.

    Args:
        tolerance: in [0, 1).

    Returns:
        Positions, int64, in order of choice, whose first k' are the answer for k'; and the radius,
        the largest distance from a candidate to its nearest labelled or chosen region (inf if there
        is none, 0 without candidates).
    """
    num = len(candidates)
    if num == 0:
        return np.zeros(0, dtype=np.int64), 0.0
    space = FeatureSpace.of(np.concatenate(centred(candidates.features, candidates.labelled)))
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


def _farthest(space: FeatureSpace, nearest: np.ndarray, count: int, tolerance: float) -> list[int]:
    """Return at most `count` positions that one pass picks among the farthest regions."""
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
    """Return the POOL farthest positions, ascending, and a bound on all other squared distances.

    Ties go to the lower position.
    """
    if len(nearest) <= POOL:
        return np.arange(len(nearest)), 0.0
    bound = np.partition(nearest, len(nearest) - POOL)[len(nearest) - POOL]
    above = np.flatnonzero(nearest > bound)
    tied = np.flatnonzero(nearest == bound)[: POOL - len(above)]
    return np.sort(np.concatenate([above, tied])), float(bound)


class KCenterRule(CandidateRule):
    """Repeatedly takes the region farthest from all labelled and chosen ones."""

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
        """Return the positions that `kcenter` chooses."""
        return kcenter(candidates, k=k, rng=rng, tolerance=self.tolerance)[0]
