"""Divide a share of the query equally among the classes; the rest goes to the highest keys.

ClaSP PE of nnActive (2026) gives 66 % to the foreground classes by s_c = H(p) p_c and 34 % by
predictive entropy, with power noise whose beta follows `beta_at(..., "exponential", ...)`. There
the background class has no share; here every class of the data set has one, since street scenes
have no background.
"""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ray_al.core.families.batch import Moment, ScoreFacts
from ray_al.core.shares import exact
from ray_al.select.candidates import Candidates, fill_by_key
from ray_al.select.noise import gumbel_rows
from ray_al.select.rules import CandidateRule
from ray_al.select.sharpness import Sharpness


def class_split(
    candidates: Candidates, *, k: int, class_scores: np.ndarray, share: float = 0.66
) -> np.ndarray:
    """Let classes take turns, each taking its highest free score, until round(share * k) are taken.

    A class whose best free score is not above 0 gives up its turn. The highest keys follow. Noise
    is already part of the keys and of `class_scores`.

    Args:
        share: of k, in [0, 1].
        class_scores: (M, C), higher first; one column per class that counts.

    Returns:
        Positions, int64, in order of choice.
    """
    orders = np.argsort(-class_scores, axis=0, kind="stable")
    queues = [
        iter(order[: int((scores > 0).sum())].tolist())
        for order, scores in zip(orders.T, class_scores.T, strict=True)
    ]
    chosen: dict[int, None] = {}
    target = min(round(exact(share) * k), len(candidates))
    while queues and len(chosen) < target:
        going = []
        for queue in queues:
            row = next((row for row in queue if row not in chosen), None)
            if row is not None and len(chosen) < target:
                chosen[row] = None
                going.append(queue)
        queues = going
    return fill_by_key(list(chosen), candidates.keys, k)


class ClassSplitRule(Sharpness, CandidateRule):
    """Divides a share of the query equally among the classes; the rest goes by score."""

    kind: Literal["class_split"] = "class_split"
    paper: ClassVar[str] = (
        "ClaSP PE of nnActive, 2026: a share in equal parts to the classes, the rest by score"
    )
    needs: ClassVar[str] = "of the best candidates: classes"
    reads_features: ClassVar[bool] = False
    reads_class_scores: ClassVar[bool] = True
    depends_on_k: ClassVar[bool] = True
    share_by_class: Annotated[float, Field(ge=0, le=1)] = 0.66
    """Part of the query that is shared out equally among the classes."""

    def why_not(self, score: str, function: ScoreFacts) -> str | None:
        """Refuse functions that do not score by class."""
        if function.attribution in ("hard", "soft"):
            return None
        return (
            f"strategy.batch.kind={self.kind!r} shares a query out by classes, "
            f"which {score!r} does not score; use clasp"
        )

    def weigh(self, candidates: Candidates, moment: Moment) -> Candidates:
        """Return the candidates with scores times exp(Gumbel(0, 1/beta)).

        Their order is that of power sampling, and scores of 0 stay 0.
        """
        assert candidates.class_scores is not None
        drawn = gumbel_rows(candidates.table, "class_split", moment.seed, moment.cycle)
        noise = np.exp(drawn / self.sharpness(moment))
        return replace(
            candidates,
            keys=candidates.keys * noise,
            class_scores=candidates.class_scores * noise[:, None],
        )

    def choose(self, candidates: Candidates, *, k: int, rng: np.random.Generator) -> np.ndarray:
        """Return the positions that `class_split` chooses."""
        assert candidates.class_scores is not None
        return class_split(
            candidates, k=k, class_scores=candidates.class_scores, share=self.share_by_class
        )
