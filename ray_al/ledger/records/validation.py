"""Validation images that people label before the first model is trained."""

from dataclasses import dataclass
from typing import ClassVar

from ray_al.core.types import FileRef, Refusal, RegionName
from ray_al.ledger.records.parts import Record


@dataclass(frozen=True, kw_only=True)
class UnlabelledImages:
    """Images, or tiles of images, that have no mask; `manifest` lists them."""

    manifest: FileRef
    num_images: int


@dataclass(frozen=True, kw_only=True)
class MaskFile:
    """The mask of an image, or of a tile of one, as class ids."""

    image_id: str
    file: FileRef


@dataclass(frozen=True, kw_only=True)
class ValidationRequested(Record):
    """People were asked for the masks of the validation images that have none."""

    kind: ClassVar[str] = "validation_requested"
    tasks: str
    num_tasks: int
    refused: tuple[Refusal, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ValidationReceived(Record):
    """Masks of validation images arrived.

    Attributes:
        part: the label part; None if no mask could be used.
        num_pixels: pixels with a class in these masks.
        clicks: what the masks would cost if the budget paid for them in clicks.
        label_seconds: how long people took, if the annotator knows it.
        refused: images whose mask could not be used; final if they leave the validation set.
        corrected: images with a mask now that were refused before.
    """

    kind: ClassVar[str] = "validation_received"
    part: FileRef | None
    num_images: int
    num_pixels: int
    clicks: int
    label_seconds: float | None = None
    refused: tuple[Refusal, ...] = ()
    corrected: tuple[RegionName, ...] = ()
    seconds: float
    term: int


@dataclass(frozen=True, kw_only=True)
class ValidationClosed(Record):
    """No further masks of validation images are taken; images without one are left out.

    Attributes:
        masks: the masks by which all models of the run are evaluated.
        num_unanswered: images that are left out, refused ones included.
        class_pixels: pixels of each class in the masks.
    """

    kind: ClassVar[str] = "validation_closed"
    masks: tuple[MaskFile, ...]
    num_unanswered: int
    class_pixels: tuple[int, ...]
