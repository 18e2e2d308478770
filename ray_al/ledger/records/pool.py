"""Work over the pool: regions, features and scores."""

from dataclasses import Field, dataclass
from typing import Any, ClassVar

from ray_al.core.types import FileRef
from ray_al.ledger.records.parts import Record, ShardFile, ShardName


@dataclass(frozen=True, kw_only=True)
class ImagesSegmented(Record):
    """The region maps of some shards were computed."""

    kind: ClassVar[str] = "images_segmented"
    parts: tuple[ShardFile, ...]


@dataclass(frozen=True, kw_only=True)
class RegionsComputed(Record):
    """The region maps of all shards exist; the budget's `amount` follows from their number."""

    kind: ClassVar[str] = "regions_computed"
    manifest: FileRef
    num_regions: int
    amount: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ShardsEmbedded(Record):
    """The feature store holds the features of some shards."""

    kind: ClassVar[str] = "shards_embedded"
    parts: tuple[ShardName, ...]


@dataclass(frozen=True, kw_only=True)
class PoolEmbedded(Record):
    """The feature store holds all features that fit in it.

    Attributes:
        views: numbers of the stored views of each image.
        root: the data root whose files were read.
        work_seconds: sum over the workers.
    """

    kind: ClassVar[str] = "pool_embedded"
    num_images: int
    views: tuple[int, ...]
    num_bytes: int
    num_shards: int | None = None
    root: str | None = None
    seconds: float
    work_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class FeaturesOutdated(Record):
    """Stored features of these shards are missing, or their images have changed."""

    kind: ClassVar[str] = "features_outdated"
    shards: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ImagesPicked(Record):
    """Lazy scoring chose the images that it looks at, and a sample that checks its choice."""

    kind: ClassVar[str] = "images_picked"
    cycle: int
    file: FileRef
    num_picked: int
    num_check: int


@dataclass(frozen=True, kw_only=True)
class ShardsScored(Record):
    """Some shards of the pool were scored."""

    kind: ClassVar[str] = "shards_scored"
    cycle: int
    parts: tuple[ShardFile, ...]


@dataclass(frozen=True, kw_only=True)
class PoolScored(Record):
    """The pool was scored, or the part of it that lazy scoring looks at.

    Attributes:
        work_seconds: sum over the workers.
        num_left: lazy scoring only: images with regions that can be queried.
        rest: lazy scoring only: whether the images that it had skipped were scored as well.
        recall: lazy scoring only: the estimated share of the true query that was found; None
            without a sample that checks.
    """

    kind: ClassVar[str] = "pool_scored"
    cycle: int
    num_images: int
    seconds: float
    work_seconds: float = 0.0
    num_left: int | None = None
    rest: bool = False
    recall: float | None = None

    def leaves_out(self, field: Field[Any]) -> bool:
        """Leave out all fields of lazy scoring where the pool was scored as a whole, else none."""
        return field.name in ("num_left", "rest", "recall") and self.num_left is None


@dataclass(frozen=True, kw_only=True)
class ShardsExtracted(Record):
    """The features of the candidates in some shards were computed."""

    kind: ClassVar[str] = "shards_extracted"
    cycle: int
    parts: tuple[ShardFile, ...]


@dataclass(frozen=True, kw_only=True)
class FeaturesExtracted(Record):
    """The features of all candidates of a cycle were computed."""

    kind: ClassVar[str] = "features_extracted"
    cycle: int
    num_regions: int
    num_images: int | None = None
    seconds: float
