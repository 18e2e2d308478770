"""The frozen values that pass between the stages."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

IGNORE_INDEX = 255
"""A pixel without a usable label."""

START_CYCLE = -1
"""The cycle that chooses the start set; its model, where the start rule needs one, is untrained."""

SEED_CYCLE = -2
"""Of the start rule `class_aware`: the cycle that draws the part of the start set on which the model of `START_CYCLE` is trained."""

MANIFEST_SCHEMA = pa.schema(
    [
        ("image_index", pa.int64()),
        ("image_id", pa.string()),
        ("uri", pa.string()),
        (
            "mask_uri",
            pa.string(),
        ),  # null where the pool has no mask; only the simulated annotator opens it
        ("height", pa.int32()),  # 0 where the header could not be read
        ("width", pa.int32()),
        ("num_regions", pa.int32()),
    ]
)
SCORE_SCHEMA = pa.schema(
    [
        ("image_index", pa.int64()),
        ("image_id", pa.string()),
        ("region", pa.int32()),
        ("score", pa.float32()),
        ("num_pixels", pa.int64()),
    ]
)
QUERY_SCHEMA = pa.schema(
    [*SCORE_SCHEMA, ("rank", pa.int32()), ("reason", pa.string()), ("cost", pa.int64())],
)
LABEL_SCHEMA = pa.schema(
    [
        ("image_index", pa.int64()),
        ("image_id", pa.string()),
        ("region", pa.int32()),
        ("box", pa.list_(pa.int32(), 4)),  # top, left, bottom, right in native pixels, half-open
        ("kind", pa.string()),  # dense, dominant, classes
        (
            "mask",
            pa.binary(),
        ),  # PNG of the box: dense: 8-bit ids, 255 where nothing is known; else 255 inside the region, 0 outside; null: all
        ("classes", pa.list_(pa.uint8())),  # dominant, classes: the class ids; null for dense
        ("clicks", pa.int64()),
        ("annotator", pa.string()),
        ("seconds", pa.float32()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Box:
    """A half-open rectangle in native pixels."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def num_pixels(self) -> int:
        return self.height * self.width

    def as_tuple(self) -> tuple[int, int, int, int]:
        return self.top, self.left, self.bottom, self.right


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """One image of a split. `image_id` is its path relative to the data root."""

    image_id: str
    uri: str
    mask_uri: str | None = None


@dataclass(frozen=True, kw_only=True)
class FileRef:
    """A file of a run directory as its event names it: path relative to the run, size in bytes and SHA-256."""

    path: str
    size: int
    sha256: str

    @staticmethod
    def of(path: str, data: bytes) -> "FileRef":
        return FileRef(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())

    def as_dict(self) -> dict[str, Any]:
        return {"path": self.path, "size": self.size, "sha256": self.sha256}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "FileRef":
        return FileRef(path=values["path"], size=values["size"], sha256=values["sha256"])


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a plan trains with, where it differs from the configuration.

    Attributes:
        train: keys of the section `train` with their values, sections below it as mappings.
        image_size: in place of `data.image_size`.
    """

    train: Mapping[str, Any] = field(default_factory=dict)
    image_size: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """One cycle's training, given to the training service.

    Attributes:
        cycle: cycle number; a final or upper-bound training uses the last cycle's.
        attempt: the driver's term; an answer to another (cycle, attempt) is refused.
        seed: the run's seed.
        label_parts: every label part so far, oldest first.
        init: model weights to start from (`model.pt` of a checkpoint, or None to build afresh).
        init_optimizer: optimizer state to go on with (policy `continue`).
        output: folder, relative to the run, for `model.pt`, `optimizer.pt`, `preview.npz`.
        progress: path, relative to the run, of the checkpoint inside the cycle.
        preview_images: images of the pool whose prediction and entropy are stored for the report.
        left_out: numbers of labelled images that cannot be used.
        all_masks: train on every pool mask instead of `label_parts` (the upper bound).
        extra_epochs: train this many epochs in place of the recipe's length (EquAL's, every n-th of the budget).
        splits: splits to evaluate on.
        steps: overrides the recipe's length; 0 only builds and stores the model.
        recipe: what differs from the configuration; `RunConfig.with_recipe` applies it.
        keeps_model: whether a checkpoint is written; a model that is only measured leaves no file.
        snapshots: store so many states of the second half of the training, the final one among them.
        sieve: weights of the model that tells which pixels of a dominant label to believe.
    """

    cycle: int
    attempt: int
    seed: int
    label_parts: tuple[FileRef, ...]
    output: str
    progress: str
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


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Dataset-level metrics from one confusion matrix. `iou` holds None for a class absent from prediction and truth."""

    miou: float
    pixel_accuracy: float
    iou: tuple[float | None, ...]
    num_images: int

    def as_dict(self) -> dict[str, Any]:
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
        files: the files written, by name: `model.pt`, and `optimizer.pt`, `preview.npz`, `snapshot-01.pt` … where asked for.
        metrics: by split.
        losses: (step, loss) pairs, thinned.
        class_pixels: labelled pixels by class of what was trained on, shape (num_classes,).
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
