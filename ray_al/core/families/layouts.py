"""Layouts, which say how the files of a data set are arranged, and what its classes are."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from ray_al.core.errors import ConfigError
from ray_al.core.family import Family
from ray_al.core.section import Section
from ray_al.core.types import IGNORE_INDEX, ImageFile

if TYPE_CHECKING:
    from ray_al.core.config import DataConfig
    from ray_al.core.config.mask_values import Value

Colors = tuple[tuple[int, int, int], ...]
"""Red, green and blue of each class, 0 to 255, by id."""

NO_SPLIT = "no_split"
"""Name of the finding that a split does not exist, which is no fault of a test split."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A fault of a data set, or something else that its user should know.

    Attributes:
        name: name in `data.allow`, for findings that may be intended.
        severity: a run does not begin despite an error.
        message: what was found, in which files, and what to do.
    """

    name: str
    severity: Literal["error", "warning"]
    message: str


@dataclass(frozen=True, kw_only=True)
class Split:
    """The images of a split, sorted by name, and findings made while they were listed."""

    images: tuple[ImageFile, ...]
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MaskNumbers:
    """The meaning of numbers in masks that are not class ids.

    Attributes:
        id_map: number -> class id.
        ignored: numbers that mean "no label".
    """

    id_map: Mapping[int, int]
    ignored: tuple[int, ...]


class MaskSource:
    """Masks that are no files of their own.

    It is sent to workers with the class table, so it holds no mask itself.
    """

    @abstractmethod
    def size(self, uri: str) -> tuple[int, int]:
        """Return (height, width) of a mask in pixels.

        Raises:
            DataError: there is no such mask.
        """
        raise NotImplementedError

    @abstractmethod
    def read(self, uri: str) -> np.ndarray:
        """Return the class numbers of a mask, uint8 (H, W), 255 for "no label".

        Raises:
            DataError: it cannot be used; the message names it.
            ReadError: it could not be read just now.
        """
        raise NotImplementedError


class Layout(Section):
    """The arrangement of a data set's files; `datasets/listing.py` has functions that list them."""

    kind: str
    """Which layout it is: a built-in kind, or `package.module:Class` for your own."""
    class_names: ClassVar[tuple[str, ...]] = ()
    """Names of the classes, id 0 first; if empty, `data.class_names` must name them."""
    colors: ClassVar[Colors] = ()
    """Colours of the classes in pictures, by id; if empty, they are made up."""
    ignore_ids: ClassVar[tuple[int, ...]] = ()
    """Default of `data.ignore_ids`."""
    void_ids: ClassVar[frozenset[int]] = frozenset({IGNORE_INDEX})
    """Numbers that mean "no label" if neither classes nor `ignore_ids` are set."""
    table_file: ClassVar[str] = ""
    """A file below the root with a table of mask values, read if no setting says what masks hold;
    empty if the layout has none."""
    draws_masks: ClassVar[bool] = False
    """Whether masks are no files, so `mask_source` draws them from files that name the classes."""
    needs_root: ClassVar[bool] = True
    """Whether `data.root` must be set."""

    @abstractmethod
    def list_split(self, root: str, split: str) -> Split:
        """List the images of a split below `root`, a path or URI, with their masks; open none."""
        raise NotImplementedError

    def list_named(self, root: str, split: str, pattern: str) -> Split:
        """List a split as `list_split` does, with masks whose names follow a pattern.

        Args:
            root: a path or URI.
            split: the name of the split.
            pattern: such as `{stem}_mask`, of the names of masks by those of images.

        Raises:
            ConfigError: the names of masks are fixed in this layout.
        """
        raise ConfigError(
            f"data.mask_suffix: the names of masks are fixed in data.dataset={self.kind}; leave it "
            "out, or choose the layout folder"
        )

    def default_root(self, data: "DataConfig", cache: str) -> str:
        """Return the root of the files if `data.root` is not set.

        Args:
            data: the section `data`.
            cache: this user's folder for files that can be made again.
        """
        raise NotImplementedError

    def prepare(self, data: "DataConfig", root: str) -> bool:
        """Make the files below `root` if they can be made and do not exist yet.

        Returns:
            Whether `root` then holds files that were made.

        Raises:
            ConfigError: the files cannot be made in this place.
            OSError: they cannot be written.
        """
        return False

    def names(self, data: "DataConfig", root: str) -> tuple[str, ...]:
        """Return the names of the classes, by their numbers in masks; () if nothing names them.

        Args:
            data: the section `data`.
            root: the files, a path or URI.
        """
        return data.class_names or self.class_names

    def mask_source(
        self, data: "DataConfig", root: str, class_names: tuple[str, ...]
    ) -> MaskSource | None:
        """Return what reads masks that are no files of their own; None if each is a file.

        Args:
            data: the section `data`.
            root: the files, a path or URI.
            class_names: by class number.

        Raises:
            ConfigError: masks and classes do not fit, or a package is missing.
        """
        return None

    def mask_colors(self, root: str) -> Mapping["Value", str]:
        """Return what colours in masks mean: the name of a class, or `ignore`.

        It is asked if no setting and no table file says what masks hold; empty if masks hold
        numbers.

        Args:
            root: the files, a path or URI.
        """
        return {}

    def numbers(self, data: "DataConfig", root: str, num_names: int) -> MaskNumbers | None:
        """Return the meaning of the numbers in masks; None if they are class ids.

        Args:
            data: the section `data`.
            root: the files, a path or URI.
            num_names: number of classes that have a name.

        Raises:
            ConfigError: settings that contradict these numbers.
        """
        return None


LAYOUTS = Family(
    "data.dataset",
    Layout,
    {
        "camvid": "ray_al.datasets.layouts.camvid:CamvidLayout",
        "cityscapes": "ray_al.datasets.layouts.cityscapes:CityscapesLayout",
        "voc": "ray_al.datasets.layouts.voc:VocLayout",
        "coco": "ray_al.datasets.layouts.coco:CocoLayout",
        "labelme": "ray_al.datasets.layouts.labelme:LabelmeLayout",
        "folder": "ray_al.datasets.layouts.folder:FolderLayout",
        "synthetic": "ray_al.datasets.layouts.synthetic:SyntheticLayout",
    },
    takes_word=True,
)
