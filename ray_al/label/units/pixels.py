"""Budgets in native pixels."""

from typing import ClassVar, Literal

from ray_al.core.families.labels import LabelKind
from ray_al.core.families.units import UNBOUNDED, Unit
from ray_al.core.types import PoolSizes


class Pixels(Unit):
    """A region costs its native pixels, void included."""

    kind: Literal["pixels"] = "pixels"
    paper: ClassVar[str] = "ViewAL: Siddiqui et al., CVPR 2020"
    share_by: ClassVar[Literal["pixels"]] = "pixels"

    @classmethod
    def of_pool(cls, pool: PoolSizes) -> int | None:
        """Return the number of native pixels."""
        return pool.num_pixels

    def most(self, num_pixels: int, label: LabelKind, num_classes: int) -> int:
        """Return the number of pixels."""
        return num_pixels

    def bounds(
        self, sizes: tuple[int, int] | None, label: LabelKind, num_classes: int
    ) -> tuple[int, int]:
        """Return the sizes, or the widest bounds if they are not known."""
        return sizes or (1, UNBOUNDED)
