"""What happened to a run as a whole."""

from collections.abc import Mapping
from dataclasses import Field, dataclass
from typing import Annotated, Any, ClassVar

from ray_al.core.families.units import UNITS
from ray_al.core.types import FileRef, PoolSizes
from ray_al.ledger.records.parts import BrokenImage, Record, check_colors
from ray_al.ledger.records.validation import UnlabelledImages


@dataclass(frozen=True, kw_only=True)
class RunCreated(Record):
    """A run directory was made.

    Attributes:
        num_regions: 0 until the regions are computed, for kinds that need the images for it.
        num_pixels: native pixels of the pool, void included.
        unit: kind of the budget's unit.
        amount: the whole budget in units; 0 while it depends on regions that are not computed.
        config_yaml: the resolved configuration.
        weights_sha256: digest of a file of pretrained weights.
        val_digest: digest of the validation split.
        has_validation: whether models are evaluated on validation images.
        validation: names of the images that were drawn from the pool for validation.
        unlabelled_validation: the validation images that people label first.
        images: digest of the names and sizes of the pool's images.
        colors: red, green and blue of each class.
    """

    kind: ClassVar[str] = "run_created"
    name: str
    manifest: FileRef
    config: FileRef
    config_yaml: str | None = None
    weights_sha256: str | None = None
    val_digest: str | None = None
    images: str | None = None
    num_images: int
    num_regions: int
    num_pixels: int
    unit: Annotated[str, UNITS]
    amount: int
    class_names: tuple[str, ...] = ()
    colors: tuple[tuple[int, int, int], ...] = ()
    has_validation: bool = True
    validation: FileRef | None = None
    unlabelled_validation: UnlabelledImages | None = None

    def leaves_out(self, field: Field[Any]) -> bool:
        """Return whether the event does without a field; most runs have validation images."""
        return super().leaves_out(field) or (field.name == "has_validation" and self.has_validation)

    def __post_init__(self) -> None:
        check_colors(self.colors, self.class_names)

    @property
    def sizes(self) -> PoolSizes:
        """The sizes of the pool, as budgets take them."""
        return PoolSizes(
            num_images=self.num_images,
            num_regions=self.num_regions,
            num_pixels=self.num_pixels,
        )


@dataclass(frozen=True, kw_only=True)
class ConfigChanged(Record):
    """Settings were changed; `changes` maps a dotted key to its values before and after."""

    kind: ClassVar[str] = "config_changed"
    config: FileRef
    config_yaml: str
    changes: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class DriverStarted(Record):
    """A host took the run over; `term` counts the hosts, `code` is the digest of the package."""

    kind: ClassVar[str] = "driver_started"
    term: int
    host: str
    pid: int
    code: str | None = None


@dataclass(frozen=True, kw_only=True)
class ImagesQuarantined(Record):
    """Images of the pool cannot be read or used; the run continues without them."""

    kind: ClassVar[str] = "images_quarantined"
    images: tuple[BrokenImage, ...]


@dataclass(frozen=True, kw_only=True)
class ImagesRestored(Record):
    """Quarantined images, given by name, were repaired and are back in the pool."""

    kind: ClassVar[str] = "images_restored"
    images: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RunFinished(Record):
    """The run ended for good."""

    kind: ClassVar[str] = "run_finished"
    reason: str
