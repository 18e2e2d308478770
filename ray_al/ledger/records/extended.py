"""A run that was extended: other images, classes, settings or another budget."""

from collections.abc import Mapping
from dataclasses import Field, dataclass
from typing import Any, ClassVar

from ray_al.core.types import FileRef, PoolSizes, Refusal
from ray_al.ledger.parse import Malformed
from ray_al.ledger.records.parts import BrokenImage, Record, check_colors


@dataclass(frozen=True, kw_only=True)
class RunExtended(Record):
    """The pool, the classes, the budget or settings of a run were changed by its user.

    The image numbers of earlier events stay valid: a new manifest begins with all earlier rows.

    Attributes:
        config_yaml: the resolved configuration from now on.
        changes: dotted key of a setting -> its values before and after.
        amount: the whole budget in units.
        manifest: the images of all times; None if none was added.
        num_added: number of images that were added at the end of the manifest.
        num_images: rows of the manifest.
        num_regions: regions of all its images; those of added images count as 0 until they are
            computed, for kinds that need the images for it.
        num_pixels: native pixels of all its images, void included.
        images: digest of the names and sizes of the images that are in the pool.
        broken: added images that cannot be used.
        removed: names of images that left the pool.
        gone: those of them whose files cannot be read; their labels are not trained on.
        returned: names of images that had been removed and are back in the pool.
        refused: unanswered regions of the open query whose images left the pool.
        class_names: of all classes, by id; ids of earlier classes stay the same.
        colors: red, green and blue of each class.
        added_classes: names of the classes at the end that are new.
        renamed_classes: old name -> new name.
    """

    kind: ClassVar[str] = "run_extended"
    config: FileRef
    config_yaml: str
    changes: Mapping[str, object]
    amount: int
    manifest: FileRef | None = None
    num_added: int = 0
    num_images: int
    num_regions: int
    num_pixels: int
    images: str
    broken: tuple[BrokenImage, ...] = ()
    removed: tuple[str, ...] = ()
    gone: tuple[BrokenImage, ...] = ()
    returned: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()
    class_names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    added_classes: tuple[str, ...] = ()
    renamed_classes: Mapping[str, str] | None = None

    def leaves_out(self, field: Field[Any]) -> bool:
        """Return whether the event does without a field: one that is empty."""
        return super().leaves_out(field) or getattr(self, field.name) == ()

    def __post_init__(self) -> None:
        check_colors(self.colors, self.class_names)
        if (self.manifest is None) != (self.num_added == 0):
            raise Malformed(f"num_added is {self.num_added}, manifest {self.manifest}")

    @property
    def sizes(self) -> PoolSizes:
        """The sizes of the pool."""
        return PoolSizes(
            num_images=self.num_images,
            num_regions=self.num_regions,
            num_pixels=self.num_pixels,
        )

    @property
    def changes_pool(self) -> bool:
        """Return whether images came or went."""
        return bool(self.num_added or self.removed or self.returned)
