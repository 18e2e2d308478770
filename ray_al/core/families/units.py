"""Budget units, which say what a region costs and how many units the whole pool has."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ray_al.core.family import Family
from ray_al.core.section import Section
from ray_al.core.types import PoolSizes

if TYPE_CHECKING:
    from ray_al.core.families.labels import LabelKind

UNBOUNDED = 1 << 62
"""Pixels assumed for a region whose size is not known yet."""


@dataclass(frozen=True, kw_only=True)
class Received:
    """Labels that came in together.

    Attributes:
        reserved: cost that was reserved for their regions, in the budget's unit.
        clicks: clicks that making them took.
        num_opened: number of their images that had no label before.
    """

    reserved: int
    clicks: int
    num_opened: int


class Unit(Section):
    """The unit of a budget.

    Cost is accounted in two steps: `most` is reserved when a region is chosen, before anybody has
    seen its label; `cost` is spent when the label arrives, and the difference is refunded.
    """

    kind: str
    """Which unit it is: a built-in kind, or `package.module:Class` for your own."""
    paper: ClassVar[str] = ""
    """Paper in which budgets are counted in this way."""
    shows_late: ClassVar[bool] = False
    """Whether `most` is only a bound, and the cost of a label is known when it arrives.

    Queries then reserve more than they plan to spend, and a cycle makes another query if the labels
    of the first one cost less than planned.
    """
    pays_once_an_image: ClassVar[bool] = False
    """Whether the first label of an image pays for all others of that image."""
    share_by: ClassVar[Literal["regions", "pixels", "images"]] = "regions"
    """The count of labelled things that is reported as a share of the pool."""
    curve_axis: ClassVar[str] = "pixel_share"
    """Horizontal axis of curves of runs that spend this unit on regions of different kinds."""

    @property
    def name(self) -> str:
        """Return the unit's name in messages: its kind, or the class name of a user's own unit."""
        return self.kind.rpartition(":")[2]

    @classmethod
    def of_pool(cls, pool: PoolSizes) -> int | None:
        """Return the units of the whole pool, the base of shares; None if that is not known.

        Args:
            pool: sizes of the pool.
        """
        return None

    @abstractmethod
    def most(self, num_pixels: int, label: "LabelKind", num_classes: int) -> int:
        """Return the most that a region of `num_pixels` native pixels, void included, can cost."""
        raise NotImplementedError

    def bounds(
        self, sizes: tuple[int, int] | None, label: "LabelKind", num_classes: int
    ) -> tuple[int, int]:
        """Return the amounts to reserve for the smallest and the largest region of the pool.

        Args:
            sizes: their native pixels; None if only a pass over the images finds them.
            label: the label kind.
            num_classes: number of classes.
        """
        smallest, largest = sizes or (UNBOUNDED, UNBOUNDED)
        return (
            self.most(smallest, label, num_classes),
            self.most(largest, label, num_classes),
        )

    def cost(self, received: Received) -> int:
        """Return the cost of labels that arrived, at most the cost reserved for them."""
        return received.reserved

    def explain_bound(self, label: "LabelKind") -> str:
        """Explain the bound `most`, for messages; the text begins with a blank."""
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
