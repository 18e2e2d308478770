"""Folders of images and masks: images/<split>/… and masks/<split>/…, or images/ and masks/ with lists <split>.txt."""

from ray_al.datasets.listing import IMAGE_SUFFIXES, MASK_SUFFIXES, Files, Split, match, read_lines


def list_split(root: str, split: str) -> Split:
    """Images of a split; a mask has the same path without its suffix, and may be missing."""
    wanted = read_lines(root, f"{split}.txt")
    below = "" if wanted is not None else split
    images = Files(root, "images", IMAGE_SUFFIXES, below=below)
    masks = Files(root, "masks", MASK_SUFFIXES, below=below)
    return match(images, masks, wanted, source=f"{root}/{split}.txt")
