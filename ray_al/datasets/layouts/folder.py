"""A folder of images and one of masks."""

from typing import ClassVar, Literal

from ray_al.core.families.layouts import Layout, Split
from ray_al.datasets.listing import IMAGE_SUFFIXES, MASK_SUFFIXES, Files, match, read_lines


class FolderLayout(Layout):
    """Folders images/<split>/ and masks/<split>/, or images/ and masks/ with lists <split>.txt."""

    kind: Literal["folder"] = "folder"
    table_file: ClassVar[str] = "labelmap.txt"

    def list_split(self, root: str, split: str) -> Split:
        """Return the images of a split with their masks.

        A mask has the path of its image, except for the suffix, and may be missing.
        """
        wanted = read_lines(root, f"{split}.txt")
        below = "" if wanted is not None else split
        images = Files(root, "images", IMAGE_SUFFIXES, below=below)
        masks = Files(root, "masks", MASK_SUFFIXES, below=below)
        return match(images, masks, wanted, source=f"{root}/{split}.txt")
