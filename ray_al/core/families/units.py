"""Budget units: what a region costs, and of how many units a share of the pool is meant."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ray_al.core.family import Family
from ray_al.core.section import Section

if TYPE_CHECKING:
    from ray_al.core.families.labels import LabelKind

UNBOUNDED = 1 << 62
"""Pixels of a region of which nobody knows yet how large it is."""


@dataclass(frozen=True, kw_only=True)
class Received:
    """Labels that came in together.

    Attributes:
        reserved: what was reserved for their regions, in the budget's unit.
        clicks: what making them took.
        num_opened: images that had no label before.
    """

    reserved: int
    clicks: int
    num_opened: int


class Unit(Section):
    """What a budget counts.

    A region is paid for twice: `most` is reserved when it is chosen and nobody has seen its label,
    `cost` is spent when the label is there, and the rest is refunded.
    """

    kind: str
    """Which unit it is: a built-in kind, or `package.module:Class` for your own."""
    paper: ClassVar[str] = ""
    """Where budgets are counted in this way."""
    shows_late: ClassVar[bool] = False
    """Whether `most` is only a bound, and what a label costs shows once it is there.

    Queries then reserve more than they plan to spend, and a cycle has another query where the
    labels of the first one cost less than planned.
    """
    pays_once_an_image: ClassVar[bool] = False
    """Whether the first label of an image pays for all others of that image."""
    share_by: ClassVar[Literal["regions", "pixels", "images"]] = "regions"
    """The count of what is labelled that is reported as a share of the pool."""
    curve_axis: ClassVar[str] = "pixel_share"
    """What curves are drawn against where runs spend this unit on regions of different kinds."""

    @property
    def name(self) -> str:
        """The unit's name in messages: of a user's own, the name of its class."""
        return self.kind.rpartition(":")[2]

    @classmethod
    def of_pool(cls, created: Mapping[str, Any]) -> int | None:
        """The units of the whole pool, of which a share is meant; None where nobody knows.

        Args:
            created: sizes of the pool: `num_images`, `num_regions`, `num_pixels` (native, void
                included). `num_regions` is 0 until the regions are computed.
        """
        return None

    @abstractmethod
    def most(self, num_pixels: int, label: "LabelKind", num_classes: int) -> int:
        """What a region of `num_pixels` native pixels, void included, costs at most."""
        raise NotImplementedError

    def bounds(
        self, sizes: tuple[int, int] | None, label: "LabelKind", num_classes: int
    ) -> tuple[int, int]:
        """What has to be reserved for the smallest and for the largest region of the pool.

        Args:
            sizes: their native pixels; None where only a pass over the images tells.
        """
        smallest, largest = sizes or (UNBOUNDED, UNBOUNDED)
        return (
            self.most(smallest, label, num_classes),
            self.most(largest, label, num_classes),
        )

    def cost(self, received: Received) -> int:
        """What labels cost in the end, at most what was reserved for them."""
        return received.reserved

    def explain_bound(self, label: "LabelKind") -> str:
        """What the bound follows from and what becomes of it, for messages; begins with a blank."""
        return ""


UNITS = Family(
    "budget.unit",
    Unit,
    {
        "regions": "ray_al.label.units.regions:Regions",
        "pixels": "ray_al.label.units.pixels:Pixels",
        "images": "ray_al.label.units.images:Images",
        "clicks": "ray_al.label.units.clicks:Clicks",
    },
    takes_word=True,
)
