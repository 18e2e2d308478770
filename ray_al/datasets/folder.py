"""Folders of images and masks: images/<split>/… and masks/<split>/…, or images/ and masks/ with lists <split>.txt."""

from pathlib import PurePosixPath

from ray_al.core.types import ImageFile
from ray_al.datasets.listing import IMAGE_SUFFIXES, MASK_SUFFIXES, by_stem, list_files, read_lines


def list_split(root: str, split: str) -> tuple[ImageFile, ...]:
    """Images of a split; a mask has the same path without its suffix, and may be missing."""
    wanted = read_lines(root, f"{split}.txt")
    below = "" if wanted is not None else f"/{split}"
    masks = by_stem(list_files(root, f"masks{below}", MASK_SUFFIXES), "masks")
    images = list_files(root, f"images{below}", IMAGE_SUFFIXES)
    stems = {str(PurePosixPath(path).relative_to("images").with_suffix("")): (path, uri) for path, uri in images.items()}
    if wanted is not None:
        names = {str(PurePosixPath(line).with_suffix("")) if PurePosixPath(line).suffix.lower() in IMAGE_SUFFIXES else line for line in wanted}
        stems = {stem: value for stem, value in stems.items() if stem in names}
    return tuple(ImageFile(image_id=path, uri=uri, mask_uri=masks.get(stem)) for stem, (path, uri) in stems.items())
