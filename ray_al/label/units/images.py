"""Budgets in images."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from ray_al.core.families.labels import LabelKind
from ray_al.core.families.units import Received, Unit


class Images(Unit):
    """An image costs 1, with the first of its regions that is labelled; its others cost nothing."""

    kind: Literal["images"] = "images"
    paper: ClassVar[str] = "whole images; DEAL: Xie et al., ACCV 2020"
    pays_once_an_image: ClassVar[bool] = True
    share_by: ClassVar[Literal["images"]] = "images"

    @classmethod
    def of_pool(cls, created: Mapping[str, Any]) -> int | None:
        return int(created["num_images"])

    def most(self, num_pixels: int, label: LabelKind, num_classes: int) -> int:
        return 1

    def cost(self, received: Received) -> int:
        """An image is paid with its first label; the region that reserved it may have none."""
        return received.num_opened
