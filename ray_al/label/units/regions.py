"""Budgets in regions."""

from typing import ClassVar, Literal

from ray_al.core.families.labels import LabelKind
from ray_al.core.families.units import Unit
from ray_al.core.types import PoolSizes


class Regions(Unit):
    """Every region costs 1."""

    kind: Literal["regions"] = "regions"
    paper: ClassVar[str] = "EquAL: Golestaneh and Kitani, BMVC 2020"

    @classmethod
    def of_pool(cls, pool: PoolSizes) -> int | None:
        """Return the number of regions."""
        return pool.num_regions

    def most(self, num_pixels: int, label: LabelKind, num_classes: int) -> int:
        """Return 1."""
        return 1
