"""The values that records of several kinds hold."""

from collections.abc import Mapping
from dataclasses import Field, dataclass, fields, is_dataclass
from typing import Any, ClassVar

from ray_al.core.types import FileRef, Metrics
from ray_al.ledger.parse import Malformed


@dataclass(frozen=True, kw_only=True)
class Record:
    """The typed data of an event; its fields stand in the order in which the journal has them."""

    kind: ClassVar[str]
    """How the journal names the event."""

    def payload(self) -> dict[str, Any]:
        """Return the data of the event as JSON values."""
        written = (field.name for field in fields(self) if not self.leaves_out(field))
        return {name: to_json(getattr(self, name)) for name in written}

    def leaves_out(self, field: Field[Any]) -> bool:
        """Return whether the event does without a field: by default one that may be missing."""
        return field.default is None and getattr(self, field.name) is None


def to_json(value: object) -> Any:
    """Return a value of a record as JSON has it: objects for dataclasses, lists for tuples."""
    if is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: to_json(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(inner) for inner in value]
    return value


@dataclass(frozen=True, kw_only=True)
class BrokenImage:
    """An image that cannot be read or used; `error` names the reason and the remedy."""

    image_id: str
    error: str


@dataclass(frozen=True, kw_only=True)
class ShardFile:
    """The result of a shard; `file` is None if the shard had nothing to work on."""

    shard: int
    file: FileRef | None
    num_rows: int | None = None


@dataclass(frozen=True, kw_only=True)
class ShardName:
    """A shard, and the name that the feature store gives it."""

    shard: int
    name: str


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """How much was labelled when a model was trained.

    Attributes:
        cost: the amount spent, in the unit of the budget.
        visits: how often an image was opened: images of each delivery, summed over deliveries.
    """

    regions: int
    pixels: int
    images: int
    clicks: int | None = None
    visits: int | None = None
    cost: int


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Labelled images that cannot be used, and their labelled regions."""

    images: int
    regions: int


@dataclass(frozen=True, kw_only=True)
class SplitMetrics:
    """Metrics on one split; `iou` is None for a class that is in neither prediction nor truth."""

    miou: float
    pixel_accuracy: float
    iou: tuple[float | None, ...]
    num_images: int | None = None

    @staticmethod
    def of(metrics: Metrics) -> "SplitMetrics":
        """Return what a record keeps of the metrics of a split."""
        return SplitMetrics(
            miou=metrics.miou,
            pixel_accuracy=metrics.pixel_accuracy,
            iou=metrics.iou,
            num_images=metrics.num_images,
        )


def check_colors(colors: tuple[tuple[int, int, int], ...], class_names: tuple[str, ...]) -> None:
    """Refuse colours that cannot be painted: one for each class, of bytes.

    Raises:
        Malformed: with what is wrong.
    """
    if len(colors) != len(class_names):
        raise Malformed(f"colors has {len(colors)} values, class_names {len(class_names)}")
    for color in colors:
        if not all(0 <= value <= 255 for value in color):
            raise Malformed(f"colors holds {list(color)}, not values from 0 to 255")
