"""Budgets in images."""

from typing import ClassVar, Literal

from ray_al.core.families.labels import LabelKind
from ray_al.core.families.units import Received, Unit
from ray_al.core.types import PoolSizes


class Images(Unit):
    """An image costs 1 when the first of its regions is labelled; the others cost nothing."""

    kind: Literal["images"] = "images"
    paper: ClassVar[str] = "whole images; DEAL: Xie et al., ACCV 2020"
    pays_once_an_image: ClassVar[bool] = True
    share_by: ClassVar[Literal["images"]] = "images"

    @classmethod
    def of_pool(cls, pool: PoolSizes) -> int | None:
        """Return the number of images."""
        return pool.num_images

    def most(self, num_pixels: int, label: LabelKind, num_classes: int) -> int:
        """Return 1: a region may be the first of its image."""
        return 1

    def cost(self, received: Received) -> int:
        """Return the number of images that had no label before.

        The region that reserved an image need not be the one with its first label.
        """
        return received.num_opened
