"""What a rule that looks at regions together is given: the best M regions of a top-k, whole in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """M regions of which a rule chooses k. All rows follow the table's order, by image_id and region.

    Attributes:
        table: SCORE_SCHEMA, M rows.
        keys: float64 (M,), higher is better; the score, or the score with a rule's noise or weights.
        features: float32 (M, D), each region's mean feature.
        probabilities: float32 (M, C), each region's mean class probabilities.
        labelled: float32 (L, D), features of the regions labelled so far; L may be 0.
        class_scores: (M, C), scores by class, where the rule reads them.
        groups: sizes of groups of features that are to weigh alike in distances, D in all; empty: one group.
    """

    table: pa.Table
    keys: np.ndarray
    features: np.ndarray
    probabilities: np.ndarray
    labelled: np.ndarray
    groups: tuple[int, ...] = ()
    class_scores: np.ndarray | None = None

    @staticmethod
    def of(
        *,
        table: pa.Table,
        keys: np.ndarray,
        features: np.ndarray,
        probabilities: np.ndarray,
        labelled: np.ndarray,
        groups: tuple[int, ...] = (),
        class_scores: np.ndarray | None = None,
    ) -> "Candidates":
        """Put rows of any order, all in the same one, into the order that every rule's ties and draws rest on."""
        order = pc.sort_indices(
            table, sort_keys=[("image_id", "ascending"), ("region", "ascending")]
        ).to_numpy()
        return Candidates(
            table=table.take(pa.array(order)),
            keys=keys[order],
            features=features[order],
            probabilities=probabilities[order],
            labelled=labelled,
            groups=groups,
            class_scores=None if class_scores is None else class_scores[order],
        )

    def only(self, rows: np.ndarray, *, taken: np.ndarray) -> "Candidates":
        """The candidates at positions `rows`, int (m,), ascending; those that `taken`, bool (M,), names count as labelled."""
        if len(rows) == len(self):
            return self
        labelled = np.concatenate([self.labelled, self.features[taken]])
        return Candidates(
            table=self.table.take(pa.array(rows)),
            keys=self.keys[rows],
            features=self.features[rows],
            probabilities=self.probabilities[rows],
            labelled=labelled,
            groups=self.groups,
            class_scores=None if self.class_scores is None else self.class_scores[rows],
        )

    def __len__(self) -> int:
        return len(self.keys)


def fill_by_key(chosen: Sequence[int] | np.ndarray, keys: np.ndarray, k: int) -> np.ndarray:
    """`chosen`, then the highest keys that are not in it (ties: lower position), until there are k or all.

    Returns:
        int64 (min(k, M),).
    """
    first = np.asarray(chosen, dtype=np.int64)[:k]
    order = np.argsort(-keys, kind="stable")
    is_free = np.ones(len(keys), dtype=bool)
    is_free[first] = False
    return np.concatenate([first, order[is_free[order]][: k - len(first)]])
