"""Layouts: how a data set lies on a disk, and what its classes are."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ray_al.core.family import Family
from ray_al.core.section import Section
from ray_al.core.types import IGNORE_INDEX, ImageFile

if TYPE_CHECKING:
    from ray_al.core.config import DataConfig

Colors = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One fault, or something that one should know.

    Attributes:
        name: as `data.allow` names it, where it may be intended.
        severity: a run does not begin over an error.
        message: what was found, where, and what to do.
    """

    name: str
    severity: Literal["error", "warning"]
    message: str


@dataclass(frozen=True, kw_only=True)
class Split:
    """The images of a split, by name, and what was found while they were listed."""

    images: tuple[ImageFile, ...]
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MaskNumbers:
    """What the numbers in masks mean where they are no class ids.

    Attributes:
        id_map: number -> class id.
        ignored: numbers that mean "no label".
    """

    id_map: Mapping[int, int]
    ignored: tuple[int, ...]


class Layout(Section):
    """How a data set lies on a disk; `datasets/listing.py` has what listing files takes."""

    kind: str
    """Which layout it is: a built-in kind, or `package.module:Class` for your own."""
    class_names: ClassVar[tuple[str, ...]] = ()
    """Of the classes, id 0 first; where there are none, `data.class_names` must name them."""
    colors: ClassVar[Colors] = ()
    """Of the classes in pictures, by id; where there are none, each is given one."""
    ignore_ids: ClassVar[tuple[int, ...]] = ()
    """What `data.ignore_ids` is where it is not set."""
    void_ids: ClassVar[frozenset[int]] = frozenset({IGNORE_INDEX})
    """Numbers that are known to mean "no label", as long as neither classes nor `ignore_ids` are
    set."""
    needs_root: ClassVar[bool] = True
    """Whether `data.root` must say where the files lie."""

    @abstractmethod
    def list_split(self, root: str, split: str) -> Split:
        """The images of a split below `root`, a path or URI, with their masks; none is opened."""
        raise NotImplementedError

    def default_root(self, data: "DataConfig", cache: str) -> str:
        """Where the files lie when `data.root` does not say it.

        Args:
            cache: this user's folder for what can be made again.
        """
        raise NotImplementedError

    def prepare(self, data: "DataConfig", root: str) -> bool:
        """Make the files where they can be made and are not there; whether `root` then holds them.

        Raises:
            ConfigError: they can be made, but not there.
            OSError: they cannot be written.
        """
        return False

    def numbers(self, data: "DataConfig", root: str, num_names: int) -> MaskNumbers | None:
        """What the numbers in masks mean; None where they are class ids or `data.ignore_ids`.

        Args:
            num_names: classes that have a name.

        Raises:
            ConfigError: settings that do not go with these numbers.
        """
        return None


LAYOUTS = Family(
    "data.dataset",
    Layout,
    {
        "camvid": "ray_al.datasets.layouts.camvid:CamvidLayout",
        "cityscapes": "ray_al.datasets.layouts.cityscapes:CityscapesLayout",
        "voc": "ray_al.datasets.layouts.voc:VocLayout",
        "folder": "ray_al.datasets.layouts.folder:FolderLayout",
        "synthetic": "ray_al.datasets.layouts.synthetic:SyntheticLayout",
    },
    takes_word=True,
)
