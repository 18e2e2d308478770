"""A folder of images and one of masks."""

from typing import ClassVar, Literal

from ray_al.core.families.layouts import Layout, Split
from ray_al.datasets.listing import IMAGE_SUFFIXES, MASK_SUFFIXES, Files, match, read_lines
from ray_al.datasets.naming import STEM


class FolderLayout(Layout):
    """Folders images/<split>/ and masks/<split>/, or images/ and masks/ with lists <split>.txt."""

    kind: Literal["folder"] = "folder"
    table_file: ClassVar[str] = "labelmap.txt"

    def list_split(self, root: str, split: str) -> Split:
        """Return the images of a split with their masks.

        A mask has the path of its image, except for the suffix, and may be missing.
        """
        return self.list_named(root, split, STEM)

    def list_named(self, root: str, split: str, pattern: str) -> Split:
        """Return the images of a split with the masks whose names follow a pattern."""
        wanted = read_lines(root, f"{split}.txt")
        below = "" if wanted is not None else split
        images = Files(root, "images", IMAGE_SUFFIXES, below=below)
        masks = Files(root, "masks", MASK_SUFFIXES, below=below, pattern=pattern)
        return match(images, masks, wanted, source=f"{root}/{split}.txt")
