"""Annotators, which turn a query into labels at once, or while a run waits for people."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
import pyarrow as pa

from ray_al.core.families.label_parts import Classes, Place
from ray_al.core.family import Family
from ray_al.core.section import Section
from ray_al.core.storage import Storage
from ray_al.core.types import Box, Refusal, RegionName

if TYPE_CHECKING:
    from ray_al.core.families.labels import LabelKind


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The ground truth of one region.

    Attributes:
        ids: class ids of its box, uint8 (h, w), 255 for void.
        region: bool (h, w), the pixels of the box that belong to the region; None for all.
        box: box of the region, in native pixels.
    """

    ids: np.ndarray
    region: np.ndarray | None
    box: Box


class RegionsOfImage(Protocol):
    """The regions of one image, by their ids."""

    def box(self, region: int) -> Box:
        """Return the box of a region, in native pixels."""
        ...

    def mask(self, region: int) -> np.ndarray | None:
        """Return the pixels of its box that belong to a region, bool (h, w); None for all."""
        ...


@dataclass(frozen=True, kw_only=True)
class LabelRequest:
    """A query that is put to an annotator, with everything that the annotator may read.

    Attributes:
        storage: the run directory.
        folder: folder in the run directory for the annotator's files of this query.
        query: all regions of the query, QUERY_SCHEMA.
        left_out: regions that nobody is asked about, since their images cannot be used.
        taken: regions that have labels.
        label: the label kind, which says what is asked.
        classes: names and colours of the classes.
        regions_of: image_index -> its regions.
        size_of: image_index -> (height, width) in native pixels.
        read_image: image_index -> uint8 (H, W, 3) in native pixels.
        propose: image_index -> predicted ids, uint8 (H, W); None if there is no model yet.
        truth: (image_index, region) -> its ground truth; DataError if the mask cannot be used.
    """

    storage: Storage
    folder: str
    query: pa.Table
    label: "LabelKind"
    classes: "Classes"
    regions_of: Callable[[int], RegionsOfImage]
    size_of: Callable[[int], tuple[int, int]]
    read_image: Callable[[int], np.ndarray]
    propose: Callable[[int], np.ndarray | None]
    truth: Callable[[int, int], Truth]
    left_out: Set[RegionName] = frozenset()
    taken: Set[RegionName] = frozenset()

    def place(self, image_index: int, region: int, margin: int) -> "Place":
        """Return the place of a region, with `margin` pixels of its image around it."""
        regions = self.regions_of(image_index)
        box = regions.box(region)
        context = _widened(box, margin, self.size_of(image_index))
        return Place(box=box, context=context, region=regions.mask(region))

    def place_in_picture(
        self, image_index: int, region: int, picture: tuple[int, int]
    ) -> "Place | None":
        """Return the place of a region with the margin that a picture of it shows.

        Args:
            picture: (height, width) of the picture in pixels.

        Returns:
            None if no margin gives that size.
        """
        size = self.size_of(image_index)
        box = self.regions_of(image_index).box(region)
        for margin in range(max(size) + 1):
            context = _widened(box, margin, size)
            if (context.height, context.width) == picture:
                return self.place(image_index, region, margin)
        return None


def _widened(box: Box, margin: int, size: tuple[int, int]) -> Box:
    """Return a box with `margin` pixels around it, as far as an image of `size` has them."""
    return Box(
        top=max(0, box.top - margin),
        left=max(0, box.left - margin),
        bottom=min(size[0], box.bottom + margin),
        right=min(size[1], box.right + margin),
    )


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The labels that an annotator gave.

    Attributes:
        table: LABEL_SCHEMA, possibly empty and with further columns.
        refused: the regions whose answers cannot be used.
    """

    table: pa.Table
    refused: tuple[Refusal, ...] = ()


class Annotator(Section):
    """A source of labels.

    `request` hands out a query; `collect` takes in the answers whenever the run continues; `close`
    ends the query. A host may die between any two steps, so each of the three may be called again
    with the same query, and must then do no harm.

    What is asked is the label kind of the request. It may be another one than the run's: people are
    asked for masks of whole validation images (`label.validation`).
    """

    kind: str
    """Which annotator it is: a built-in kind, or `package.module:Class` for your own."""
    answers_at_once: ClassVar[bool] = False
    """Whether `collect` answers the whole query at once, so the run never waits."""
    reads_masks: ClassVar[bool] = False
    """Whether it reads the ground truth of the pool, which must then exist."""
    changeable: ClassVar[tuple[str, ...]] = ()
    """Names of its settings that may change in a run that has begun."""

    @property
    def quorum(self) -> float:
        """Return the share of a query that must be answered before the run continues."""
        return 1.0

    @abstractmethod
    def request(self, asked: LabelRequest) -> int:
        """Hand out the regions of a query, except `left_out`, and return the number of tasks."""
        raise NotImplementedError

    @abstractmethod
    def collect(self, asked: LabelRequest) -> Answers:
        """Return the labels of regions that are neither `left_out` nor `taken`.

        An answer that cannot be used is refused, with the reason and what to do about it.
        """
        raise NotImplementedError

    def close(self, asked: LabelRequest) -> None:
        """Withdraw the query: from now on, no answer to it counts."""

    def announce_classes(self, storage: Storage, folder: str, classes: "Classes") -> None:
        """Tell people that classes were added or renamed while a query is open.

        Args:
            storage: the run directory.
            folder: folder of the open query, which was handed out.
            classes: names and colours of all classes.
        """

    def unused(
        self,
        storage: Storage,
        folder: str,
        query: pa.Table,
        label: "LabelKind",
        *,
        digests: Mapping[RegionName, str | None],
        late: Set[RegionName],
    ) -> list[str]:
        """Return a sentence for each thing that people gave to a query and that does not count.

        Args:
            storage, folder, query, label: as of `LabelRequest`.
            digests: labelled region -> digest of the file that its label came from; None if that
                was not recorded.
            late: regions whose query was closed before they had a label.
        """
        return []


ANNOTATORS = Family(
    "label.annotator",
    Annotator,
    {
        "simulated": "ray_al.label.annotators.simulated:SimulatedAnnotator",
        "files": "ray_al.label.annotators.files:FilesAnnotator",
    },
    takes_word=True,
)
