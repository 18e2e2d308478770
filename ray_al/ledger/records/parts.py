"""The values that records of several kinds hold."""

from dataclasses import dataclass
from typing import ClassVar

from ray_al.core.types import FileRef

RegionName = tuple[str, int]
"""The image_id and the number of a region."""


class Record:
    """The typed data of an event."""

    kind: ClassVar[str]
    """How the journal names the event."""


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
class Refusal:
    """A region whose answer could not be used; `final` if no better answer can come."""

    image_id: str
    region: int
    reason: str
    final: bool

    @property
    def name(self) -> RegionName:
        """The region."""
        return self.image_id, self.region


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
    cost: int
    clicks: int | None = None
    visits: int | None = None


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
