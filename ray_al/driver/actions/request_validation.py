"""Ask people for the masks of validation images."""

from dataclasses import dataclass
from typing import Self

from ray_al.core.config import RunConfig
from ray_al.core.errors import DataError, RayALError
from ray_al.core.types import Refusal
from ray_al.datasets.images import read_pool_image
from ray_al.datasets.pixels import PixelRule
from ray_al.driver.actions.action import Action
from ray_al.driver.context import Context
from ray_al.driver.validation_labels import awaited, describe_validation, unlabelled_manifest
from ray_al.ledger import State
from ray_al.ledger.records import ValidationRequested


@dataclass(frozen=True)
class RequestValidation(Action):
    """Ask people for the masks of the validation images that have none."""

    @classmethod
    def due(cls, state: State, config: RunConfig) -> Self | None:
        """Ask once, where the annotator does not answer at once."""
        known = awaited(state)
        if known is None or known.tasks is not None or config.label.annotator.answers_at_once:
            return None
        return cls()

    def perform(self, context: Context) -> ValidationRequested:
        """Make the tasks for people who label, without images that cannot be read any more."""
        refused = _unreadable(context)
        asked = describe_validation(context, left_out={refusal.name for refusal in refused})
        if len(refused) == len(asked.query):
            raise RayALError(
                f"not one of the {len(refused)} validation images can be read, such as "
                f"{refused[0].image_id}: {refused[0].reason}; restore the files, then resume"
            )
        num_tasks = context.config.label.annotator.request(asked)
        return ValidationRequested(tasks=asked.folder, num_tasks=num_tasks, refused=refused)


def _unreadable(context: Context) -> tuple[Refusal, ...]:
    """Return a final refusal of each image that cannot be read."""
    manifest, rule = unlabelled_manifest(context), PixelRule.of(context.config.data)
    refused = []
    for number, row in enumerate(manifest.to_pylist()):
        context.note("label", number, len(manifest))
        try:
            read_pool_image(row["uri"], (row["height"], row["width"]), rule)
        except DataError as error:
            refused.append(
                Refusal(image_id=row["image_id"], region=0, reason=str(error), final=True)
            )
    return tuple(refused)
