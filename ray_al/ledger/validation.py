"""What the events say of validation images that people label."""

from dataclasses import dataclass, replace

from ray_al.core.types import FileRef, Refusal
from ray_al.ledger.records import (
    ValidationClosed,
    ValidationReceived,
    ValidationRequested,
)


@dataclass(frozen=True, kw_only=True)
class ValidationLabels:
    """The validation images that had no mask when the run began, and their labels so far.

    None of it belongs to the budget.

    Attributes:
        num_images: images to be labelled, or their tiles.
        tasks: the folder in which people find the images; None if nobody was asked yet.
        parts: files of labels, oldest first.
        answered: images that have a label.
        refused: the last refusal of each image that has none.
        clicks: what the labels would cost if the budget paid for them in clicks.
        label_seconds: how long people took; None if no annotator said it.
        collected_in_attempt: the last host that looked for answers; 0 for none.
        closed: set once no further label is taken.
    """

    num_images: int
    tasks: str | None = None
    parts: tuple[FileRef, ...] = ()
    answered: int = 0
    refused: tuple[Refusal, ...] = ()
    clicks: int = 0
    label_seconds: float | None = None
    collected_in_attempt: int = 0
    closed: ValidationClosed | None = None

    @property
    def left_out(self) -> int:
        """The number of images that will have no label."""
        return sum(refusal.final for refusal in self.refused)

    @property
    def missing(self) -> int:
        """The number of images that may still get a label."""
        return 0 if self.closed else self.num_images - self.answered - self.left_out


def requested(known: ValidationLabels | None, record: ValidationRequested) -> ValidationLabels:
    """Return what is known after people were asked.

    Raises:
        ValueError: the run has no such images, or takes no labels of them any more.
    """
    known = _open(known)
    return replace(known, tasks=record.tasks, refused=(*known.refused, *record.refused))


def received(known: ValidationLabels | None, record: ValidationReceived) -> ValidationLabels:
    """Return what is known after labels arrived.

    Raises:
        ValueError: the run has no such images, takes no labels of them any more, or has fewer.
    """
    known = _open(known)
    last = {refusal.name: refusal for refusal in (*known.refused, *record.refused)}
    corrected = set(record.corrected)
    seconds = [one for one in (known.label_seconds, record.label_seconds) if one is not None]
    changed = replace(
        known,
        parts=(*known.parts, record.part) if record.part else known.parts,
        answered=known.answered + record.num_images,
        refused=tuple(refusal for name, refusal in last.items() if name not in corrected),
        clicks=known.clicks + record.clicks,
        label_seconds=sum(seconds) if seconds else None,
        collected_in_attempt=record.term,
    )
    if changed.missing < 0:
        raise ValueError(f"more labels than the {known.num_images} validation images without one")
    return changed


def closed(known: ValidationLabels | None, record: ValidationClosed) -> ValidationLabels:
    """Return what is known after the last label was taken.

    Raises:
        ValueError: the masks are not those of the labels.
    """
    known = _open(known)
    if (len(record.masks), record.num_unanswered) != (
        known.answered,
        known.num_images - known.answered,
    ):
        raise ValueError(
            f"{len(record.masks)} masks and {record.num_unanswered} images without one, where "
            f"{known.answered} of {known.num_images} were labelled"
        )
    return replace(known, closed=record)


def _open(known: ValidationLabels | None) -> ValidationLabels:
    if known is None or known.closed:
        raise ValueError("no labels of validation images are awaited")
    return known
