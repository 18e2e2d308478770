"""Pascal VOC (Everingham et al., 2010): JPEGImages, SegmentationClass (palette indices, border 255), ImageSets/Segmentation."""

from ray_al.datasets.listing import IMAGE_SUFFIXES, MASK_SUFFIXES, Files, Split, match, read_lines

CLASS_NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
COLORS = (
    (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128), (128, 128, 128), (64, 0, 0),
    (192, 0, 0), (64, 128, 0), (192, 128, 0), (64, 0, 128), (192, 0, 128), (64, 128, 128), (192, 128, 128), (0, 64, 0), (128, 64, 0),
    (0, 192, 0), (128, 192, 0), (0, 64, 128),
)  # fmt: skip


def list_split(root: str, split: str) -> Split:
    """Images that ImageSets/Segmentation/<split>.txt names."""
    name = f"ImageSets/Segmentation/{split}.txt"
    wanted = read_lines(root, name)
    images, masks = Files(root, "JPEGImages", IMAGE_SUFFIXES), Files(root, "SegmentationClass", MASK_SUFFIXES)
    return match(images, masks, wanted or (), source=f"{root}/{name}")
