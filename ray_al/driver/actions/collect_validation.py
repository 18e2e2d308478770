"""Take in the masks of validation images."""

import time
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from ray_al.core.config import RunConfig
from ray_al.core.errors import DataError, RayALError
from ray_al.core.families.annotators import Answers
from ray_al.core.run_dir import RunDir
from ray_al.core.types import IGNORE_INDEX, FileRef, Refusal
from ray_al.driver.actions.action import Action
from ray_al.driver.asking import names_of
from ray_al.driver.context import Context
from ray_al.driver.pool import table_bytes
from ray_al.driver.receiving import collect_answers
from ray_al.driver.validation_labels import (
    awaited,
    composed,
    describe_validation,
    says_nothing,
    settled_names,
    unlabelled_manifest,
)
from ray_al.ledger import State
from ray_al.ledger.records import ValidationReceived

NOTHING_SAID = (
    "no pixel of its mask has a class (all are 255), so the image leaves the validation set"
)


@dataclass(frozen=True)
class CollectValidation(Action):
    """Take in the masks of validation images that people made so far."""

    @classmethod
    def due(cls, state: State, config: RunConfig) -> Self | None:
        """Collect once a host, so that each resume looks for new answers."""
        known = awaited(state)
        return None if known is None or known.collected_in_attempt >= state.attempt else cls()

    def perform(self, context: Context) -> ValidationReceived:
        """Take in all masks that can be used and that were not taken in before."""
        start, known = time.monotonic(), context.state.validation
        assert known is not None
        settled = settled_names(context)
        given = collect_answers(
            context.config.label.annotator,
            describe_validation(context, left_out=settled, taken=settled),
        )
        table, num_pixels, empty = _usable(context, given)
        refused = (*given.refused, *empty)
        _check_some_left(context, len(table), refused)
        before = {refusal.name for refusal in known.refused}
        names = names_of(table)
        return ValidationReceived(
            part=_write(context, table),
            num_images=len(table),
            num_pixels=num_pixels,
            clicks=sum(table.column("clicks").to_pylist()),
            label_seconds=_seconds_of_people(table),
            refused=refused,
            corrected=tuple(sorted(names & before)),
            seconds=time.monotonic() - start,
            term=context.state.attempt,
        )


def _usable(context: Context, given: Answers) -> tuple[pa.Table, int, tuple[Refusal, ...]]:
    """Return the labels that say something, their pixels with a class, and the other images.

    Raises:
        RayALError: the annotator gives something else than masks of whole images.
    """
    manifest = unlabelled_manifest(context)
    heights, widths = (manifest.column(name).to_pylist() for name in ("height", "width"))
    says, num_pixels = np.zeros(len(given.table), dtype=bool), 0
    for number, row in enumerate(given.table.to_pylist()):
        index = row["image_index"]
        try:
            ids = composed(row, heights[index], widths[index])
        except DataError as error:
            raise RayALError(f"label.annotator: {row['image_id']}: {error}") from None
        says[number] = not says_nothing(ids)
        num_pixels += int((ids != IGNORE_INDEX).sum())
    empty = given.table.filter(pa.array(~says)).column("image_id").to_pylist()
    refused = (
        Refusal(image_id=image_id, region=0, reason=NOTHING_SAID, final=True) for image_id in empty
    )
    return given.table.filter(pa.array(says)), num_pixels, tuple(refused)


def _check_some_left(context: Context, num_new: int, refused: tuple[Refusal, ...]) -> None:
    """Stop before an answer is taken with which the run could evaluate nothing.

    Raises:
        RayALError: no image would be left; nothing was recorded, so answers can be corrected.
    """
    known = context.state.validation
    assert known is not None
    if known.answered + num_new:
        return
    final = {refusal.name: refusal for refusal in (*known.refused, *refused) if refusal.final}
    if len(final) == known.num_images:
        last = list(final.values())[-1]
        raise RayALError(
            f"label.validation: all {known.num_images} validation images would leave the "
            f"validation set, such as {last.image_id}: {last.reason}; correct the answers, then "
            "resume, or begin a run with another data.val_split"
        )
    annotator = context.config.label.annotator
    if annotator.answers_at_once:
        raise RayALError(
            f"label.annotator={annotator.kind}: it gave none of the {known.num_images} masks of "
            "validation images; see why, then resume"
        )


def _seconds_of_people(table: pa.Table) -> float | None:
    """Return how long people took, if the annotator says it for any label."""
    seconds = [one for one in table.column("seconds").to_pylist() if one is not None]
    return float(sum(seconds)) if seconds else None


def _write(context: Context, table: pa.Table) -> FileRef | None:
    known = context.state.validation
    if known is None or not len(table):
        return None
    name = RunDir.validation_labels(len(known.parts))
    return context.storage.put(name, table_bytes(table), attempt=context.state.attempt)
