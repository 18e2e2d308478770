"""Class-stratified choice: a share of the query goes in equal parts to the classes, the rest to the highest keys.

ClaSP PE of nnActive (2026): 66 % over the foreground classes by s_c = H(p) p_c, 34 % by predictive entropy, with power noise whose beta
follows `beta_at(..., "exponential", ...)`. There the background class has no share; here every class of the data set has one, as street
scenes have no background.
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
from ray_al.select.schedule import Sharpness


def class_split(
    candidates: Candidates, *, k: int, class_scores: np.ndarray, share: float = 0.66
) -> np.ndarray:
    """Classes take turns, each its highest score not yet taken, until round(share * k) are taken; the rest goes by key.

    A class whose best score left is not above 0 gives up its turn. Noise is already in the keys and in `class_scores`.

    Args:
        share: of k, in [0, 1].
        class_scores: (M, C), higher first; columns of the classes that count.

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
    """A share of the query in equal parts to the classes, the rest by score."""

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
        if function.attribution in ("hard", "soft"):
            return None
        return f"strategy.batch.kind={self.kind!r} shares a query out by classes, which {score!r} does not score; use clasp"

    def weigh(self, candidates: Candidates, moment: Moment) -> Candidates:
        """Scores times exp(Gumbel(0, 1/beta)): their order is that of power sampling, and zero stays zero."""
        assert candidates.class_scores is not None
        drawn = gumbel_rows(candidates.table, "class_split", moment.seed, moment.cycle)
        noise = np.exp(drawn / self.sharpness(moment))
        return replace(
            candidates,
            keys=candidates.keys * noise,
            class_scores=candidates.class_scores * noise[:, None],
        )

    def choose(self, candidates: Candidates, *, k: int, rng: np.random.Generator) -> np.ndarray:
        assert candidates.class_scores is not None
        return class_split(
            candidates, k=k, class_scores=candidates.class_scores, share=self.share_by_class
        )
