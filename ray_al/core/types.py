"""The frozen values that pass between the stages."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

IGNORE_INDEX = 255
"""Class id of a pixel without a usable label."""

START_CYCLE = -1
"""The cycle that chooses the start set; if its rule needs a model, that model is untrained."""

SEED_CYCLE = -2
"""The cycle that draws the seed part of a start set, which trains the model of `START_CYCLE`.

Only start rules with a seed part have it, such as `class_aware`.
"""

MANIFEST_SCHEMA = pa.schema(
    [
        ("image_index", pa.int64()),
        ("image_id", pa.string()),
        ("uri", pa.string()),
        # Null if the pool has no mask; only the simulated annotator opens it.
        ("mask_uri", pa.string()),
        ("height", pa.int32()),  # 0 if the header could not be read
        ("width", pa.int32()),
        ("num_regions", pa.int32()),
    ]
)
"""The images of a pool; `image_index` is the row."""
SCORE_SCHEMA = pa.schema(
    [
        ("image_index", pa.int64()),
        ("image_id", pa.string()),
        ("region", pa.int32()),
        ("score", pa.float32()),
        ("num_pixels", pa.int64()),
    ]
)
"""Scores of regions."""
QUERY_SCHEMA = pa.schema(
    [*SCORE_SCHEMA, ("rank", pa.int32()), ("reason", pa.string()), ("cost", pa.int64())],
)
"""The regions of a query; `cost` is the reserved amount, in the budget's unit."""
LABEL_SCHEMA = pa.schema(
    [
        ("image_index", pa.int64()),
        ("image_id", pa.string()),
        ("region", pa.int32()),
        ("box", pa.list_(pa.int32(), 4)),  # top, left, bottom, right in native pixels, half-open
        ("kind", pa.string()),  # dense, dominant, classes
        # PNG of the box. dense: 8-bit ids, 255 for unknown; other kinds: 255 inside the region, 0
        # outside, null if the region fills its box.
        ("mask", pa.binary()),
        ("classes", pa.list_(pa.uint8())),  # class ids of dominant and classes; null for dense
        ("clicks", pa.int64()),
        ("annotator", pa.string()),
        ("seconds", pa.float32()),
    ]
)
"""Labels of regions."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A half-open rectangle in native pixels."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Return the number of rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return self.right - self.left

    @property
    def num_pixels(self) -> int:
        """Return the number of pixels."""
        return self.height * self.width

    def as_tuple(self) -> tuple[int, int, int, int]:
        """Return (top, left, bottom, right), the order of the column `box`."""
        return self.top, self.left, self.bottom, self.right


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """One image of a split. `image_id` is its path relative to the data root."""

    image_id: str
    uri: str
    mask_uri: str | None = None


@dataclass(frozen=True, kw_only=True)
class FileRef:
    """A file of a run directory as an event names it.

    Attributes:
        path: relative to the run directory.
        size: in bytes.
        sha256: of the content, in hexadecimal digits.
    """

    path: str
    size: int
    sha256: str

    @staticmethod
    def of(path: str, data: bytes) -> "FileRef":
        """Return the reference of a file with this content."""
        return FileRef(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())

    def as_dict(self) -> dict[str, Any]:
        """Return the reference as an event holds it."""
        return {"path": self.path, "size": self.size, "sha256": self.sha256}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "FileRef":
        """Return the reference that an event holds."""
        return FileRef(path=values["path"], size=values["size"], sha256=values["sha256"])


@dataclass(frozen=True, kw_only=True)
class PoolSizes:
    """How large a pool is.

    Attributes:
        num_images: images, each tile counted as one.
        num_regions: regions; 0 until those are computed that only a pass over the images finds.
        num_pixels: native pixels, void included.
    """

    num_images: int
    num_regions: int
    num_pixels: int


RegionName = tuple[str, int]
"""The image_id and the number of a region."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A region whose answer could not be used.

    Attributes:
        image_id: of its image.
        region: its number in the image.
        reason: why, and what to do about it.
        final: whether no better answer can come.
    """

    image_id: str
    region: int
    reason: str
    final: bool

    @property
    def name(self) -> RegionName:
        """The region."""
        return self.image_id, self.region


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Training settings of a plan that differ from the configuration.

    Attributes:
        train: keys of the section `train` with their values; sections inside it are mappings.
        image_size: (height, width) in place of `data.image_size`; None keeps that.
    """

    train: Mapping[str, object] = field(default_factory=dict)
    image_size: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """One cycle's training, given to the training service.

    Attributes:
        cycle: number of the cycle; a final or upper-bound training uses that of the last one.
        attempt: number of the driver's attempt; an answer to another (cycle, attempt) is refused.
        seed: the run's seed.
        label_parts: every label part so far, oldest first.
        init: weights to start from (`model.pt` of a checkpoint); None builds the model afresh.
        init_optimizer: state of the optimizer to continue with (policy `continue`).
        output: folder, relative to the run, for `model.pt`, `optimizer.pt`, `preview.npz`.
        partial_checkpoint: path, relative to the run, of the checkpoint inside the cycle.
        preview_images: images of the pool whose prediction and entropy are stored for the report.
        left_out: indexes of labelled images that cannot be used.
        all_masks: whether to train on every mask of the pool instead of `label_parts` (the upper
            bound).
        extra_epochs: number of epochs in place of the recipe's length (`train.extra_epochs`).
        splits: splits to evaluate on.
        steps: number of steps in place of the recipe's length; 0 only builds and stores the model.
        recipe: settings that differ from the configuration; `RunConfig.with_recipe` applies them.
        keeps_model: whether a checkpoint is written; a model that is only measured leaves no file.
        snapshots: number of states to store from the second half of the training, including the
            final one.
        sieve: weights of the model that decides which pixels of a dominant label to trust.
        manifest: the pool's images, of a run that was extended; None for those of its beginning.
        validation: image_id and mask of each validation image that people labelled.
    """

    cycle: int
    attempt: int
    seed: int
    label_parts: tuple[FileRef, ...]
    output: str
    partial_checkpoint: str
    init: FileRef | None = None
    init_optimizer: FileRef | None = None
    preview_images: tuple[ImageFile, ...] = ()
    left_out: tuple[int, ...] = ()
    all_masks: bool = False
    extra_epochs: int | None = None
    splits: tuple[str, ...] = ("val",)
    steps: int | None = None
    recipe: Recipe = field(default_factory=Recipe)
    keeps_model: bool = True
    snapshots: int = 0
    sieve: FileRef | None = None
    manifest: FileRef | None = None
    validation: tuple[tuple[str, FileRef], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Metrics of a whole data set, from one confusion matrix.

    Attributes:
        miou: mean of `iou` over the classes that occur, in [0, 1].
        pixel_accuracy: in [0, 1].
        iou: by class id, in [0, 1]; None for a class that neither prediction nor truth contains.
        num_images: images that were evaluated.
    """

    miou: float
    pixel_accuracy: float
    iou: tuple[float | None, ...]
    num_images: int

    def as_dict(self) -> dict[str, Any]:
        """Return the metrics as an event holds them."""
        return {
            "miou": self.miou,
            "pixel_accuracy": self.pixel_accuracy,
            "iou": list(self.iou),
            "num_images": self.num_images,
        }


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The answer to a `TrainPlan`.

    Attributes:
        cycle: number of the cycle.
        attempt: number of the driver's attempt.
        files: the files written, by name: `model.pt`, and those of `optimizer.pt`, `preview.npz`,
            `snapshot-01.pt` … that the plan asks for.
        metrics: by split.
        num_steps: steps of the optimizer.
        losses: (step, loss) pairs, thinned.
        class_pixels: number of labelled pixels of each class that were trained on, by class id.
        train_seconds: duration of the training.
        evaluate_seconds: duration of the evaluation.
        num_images: images that were trained on.
        kept_step: number of steps after which the weights were the kept ones (`train.keep: best`);
            None if the last ones are kept.
        evaluations: (steps, validation mIoU) of the weights among which the best were found.
    """

    cycle: int
    attempt: int
    files: Mapping[str, FileRef]
    metrics: Mapping[str, Metrics]
    num_steps: int
    losses: tuple[tuple[int, float], ...]
    class_pixels: tuple[int, ...]
    train_seconds: float
    evaluate_seconds: float
    num_images: int
    kept_step: int | None = None
    evaluations: tuple[tuple[int, float], ...] = ()
