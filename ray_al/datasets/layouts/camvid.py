"""CamVid with 11 classes, as EquAL uses it.

Brostow et al., "Semantic object classes in video: a high-definition ground truth database", 2009.
"""

from typing import ClassVar, Literal

from ray_al.core.families.layouts import Colors, Layout, Split
from ray_al.core.types import IGNORE_INDEX
from ray_al.datasets.listing import IMAGE_SUFFIXES, MASK_SUFFIXES, Files, match
from ray_al.datasets.naming import STEM


class CamvidLayout(Layout):
    """Folders train/, trainannot/, val/, valannot/, test/, testannot/; ids 0 to 10, 11 is void."""

    kind: Literal["camvid"] = "camvid"
    class_names: ClassVar[tuple[str, ...]] = (
        "sky", "building", "pole", "road", "pavement", "tree", "sign_symbol", "fence", "car",
        "pedestrian", "bicyclist",
    )  # fmt: skip
    colors: ClassVar[Colors] = (
        (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222),
        (128, 128, 0), (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
    )  # fmt: skip
    ignore_ids: ClassVar[tuple[int, ...]] = (11,)
    void_ids: ClassVar[frozenset[int]] = frozenset({IGNORE_INDEX, 11})

    def list_split(self, root: str, split: str) -> Split:
        """Return the images of `<split>/` with their masks in `<split>annot/`."""
        return list_beside(root, split)

    def list_named(self, root: str, split: str, pattern: str) -> Split:
        """Return these images with the masks whose names follow a pattern."""
        return list_beside(root, split, pattern)


def list_beside(root: str, split: str, pattern: str = STEM) -> Split:
    """Return the images of `<split>/` with their masks in `<split>annot/`."""
    images = Files(root, split, IMAGE_SUFFIXES)
    return match(images, Files(root, f"{split}annot", MASK_SUFFIXES, pattern=pattern))
