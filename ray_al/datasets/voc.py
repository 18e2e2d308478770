"""Pascal VOC (Everingham et al., 2010): JPEGImages, SegmentationClass (palette indices, border 255), ImageSets/Segmentation."""

from ray_al.core.types import ImageFile
from ray_al.datasets.listing import IMAGE_SUFFIXES, MASK_SUFFIXES, by_stem, list_files, read_lines

CLASS_NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
COLORS = (
    (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128), (128, 128, 128), (64, 0, 0),
    (192, 0, 0), (64, 128, 0), (192, 128, 0), (64, 0, 128), (192, 0, 128), (64, 128, 128), (192, 128, 128), (0, 64, 0), (128, 64, 0),
    (0, 192, 0), (128, 192, 0), (0, 64, 128),
)  # fmt: skip


def list_split(root: str, split: str) -> tuple[ImageFile, ...]:
    """Images that ImageSets/Segmentation/<split>.txt names."""
    names = read_lines(root, f"ImageSets/Segmentation/{split}.txt") or []
    images = by_stem(list_files(root, "JPEGImages", IMAGE_SUFFIXES), "JPEGImages")
    masks = by_stem(list_files(root, "SegmentationClass", MASK_SUFFIXES), "SegmentationClass")
    found = [(name, images[name]) for name in sorted(set(names)) if name in images]
    return tuple(ImageFile(image_id=f"JPEGImages/{uri.rsplit('/', 1)[1]}", uri=uri, mask_uri=masks.get(name)) for name, uri in found)
