"""Take no further masks of validation images."""

import logging
from dataclasses import dataclass
from typing import Self

import numpy as np

from ray_al.core.config import RunConfig
from ray_al.core.run_dir import RunDir
from ray_al.core.shares import exact
from ray_al.core.types import IGNORE_INDEX
from ray_al.datasets.compose import encode_mask
from ray_al.driver.actions.action import Action
from ray_al.driver.context import Context
from ray_al.driver.validation_labels import (
    awaited,
    composed,
    describe_validation,
    labels_of_part,
    unlabelled_manifest,
)
from ray_al.ledger import State
from ray_al.ledger.records import MaskFile, ValidationClosed

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CloseValidation(Action):
    """Write the masks by which models are evaluated; leave out images that have none."""

    @classmethod
    def due(cls, state: State, config: RunConfig) -> Self | None:
        """Close when as much is answered as the annotator wants of a query, and at least one.

        Of an annotator who answers at once, nothing more can come.
        """
        known = awaited(state)
        if known is None or not known.collected_in_attempt or not known.answered:
            return None
        annotator = config.label.annotator
        wanted = exact(annotator.quorum) * (known.num_images - known.left_out)
        return cls() if known.answered >= wanted or annotator.answers_at_once else None

    def perform(self, context: Context) -> ValidationClosed:
        """Write one mask of class ids per labelled image."""
        known = context.state.validation
        assert known is not None
        if known.tasks is not None:
            context.config.label.annotator.close(describe_validation(context))
        manifest = unlabelled_manifest(context)
        heights, widths = (manifest.column(name).to_pylist() for name in ("height", "width"))
        counts = np.zeros(IGNORE_INDEX + 1, dtype=np.int64)
        masks: dict[int, MaskFile] = {}
        for ref in known.parts:
            for row in labels_of_part(context, ref):
                index = int(str(row["image_index"]))
                ids = composed(row, heights[index], widths[index])
                counts += np.bincount(ids.ravel(), minlength=len(counts))
                file = context.storage.put(
                    RunDir.validation_mask(index), encode_mask(ids), attempt=context.state.attempt
                )
                masks[index] = MaskFile(image_id=str(row["image_id"]), file=file)
        return ValidationClosed(
            masks=tuple(masks[index] for index in sorted(masks)),
            num_unanswered=known.num_images - len(masks),
            class_pixels=tuple(counts[: context.dataset.num_classes].tolist()),
        )
