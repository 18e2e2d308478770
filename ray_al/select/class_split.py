"""Class-stratified choice: a share of the query goes in equal parts to the classes, the rest to the highest keys.

ClaSP PE of nnActive (2026): 66 % over the foreground classes by s_c = H(p) p_c, 34 % by predictive entropy, with power noise whose beta
follows `beta_at(..., "exponential", ...)`. There the background class has no share; here every class of the data set has one, as street
scenes have no background. Noise is the caller's: in `keys` and in `class_scores`.
"""

import numpy as np

from ray_al.core.shares import exact
from ray_al.select.candidates import Candidates, fill_by_key


def class_split(candidates: Candidates, *, k: int, rng: np.random.Generator, class_scores: np.ndarray, share: float = 0.66) -> np.ndarray:
    """Classes take turns, each its highest score not yet taken, until round(share * k) are taken; the rest goes by key.

    A class whose best score left is not above 0 gives up its turn. Nothing is drawn from `rng`.

    Args:
        share: of k, in [0, 1].
        class_scores: (M, C), higher first; columns of the classes that count.

    Returns:
        Positions, int64, in order of choice.
    """
    orders = np.argsort(-class_scores, axis=0, kind="stable")
    queues = [iter(order[: int((scores > 0).sum())].tolist()) for order, scores in zip(orders.T, class_scores.T, strict=True)]
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
