"""Hold the candidates of a rule that compares regions: the best M regions, in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """M regions from which a rule chooses k.

    All rows follow the table's order, by image_id and region.

    Attributes:
        table: SCORE_SCHEMA, M rows.
        keys: float64 (M,), higher is better: the score, or the score with a rule's noise or
            weights.
        features: float32 (M, D), mean feature of each region.
        probabilities: float32 (M, C), mean class probabilities of each region.
        labelled: float32 (L, D), features of the regions labelled so far; L may be 0.
        class_scores: (M, C), scores by class, if the rule reads them.
        groups: sizes of the groups of features that have equal weight in distances, D in all; empty
            for one group.
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
        """Sort rows into the order on which ties and draws of rules rely.

        All arguments have their rows in the same, arbitrary order.
        """
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
        """Return the candidates at some positions, with taken ones counted as labelled.

        Args:
            rows: int (m,), ascending positions.
            taken: bool (M,), candidates that are in the query.
        """
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
    """Return `chosen`, followed by the highest other keys, until there are k or all.

    Ties go to the lower position.

    Returns:
        int64 (min(k, M),).
    """
    first = np.asarray(chosen, dtype=np.int64)[:k]
    order = np.argsort(-keys, kind="stable")
    is_free = np.ones(len(keys), dtype=bool)
    is_free[first] = False
    return np.concatenate([first, order[is_free[order]][: k - len(first)]])
