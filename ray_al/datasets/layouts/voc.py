"""Pascal VOC.

Everingham et al., "The Pascal visual object classes (VOC) challenge", IJCV 2010.
"""

from typing import ClassVar, Literal

from ray_al.core.families.layouts import Colors, Layout, Split
from ray_al.datasets.listing import IMAGE_SUFFIXES, MASK_SUFFIXES, Files, match, read_lines
from ray_al.datasets.naming import STEM


class VocLayout(Layout):
    """Folders JPEGImages/, SegmentationClass/ and ImageSets/Segmentation/.

    Masks hold palette indices, and 255 at borders; or the colours of labelmap.txt, if there is such
    a file, as CVAT exports it.
    """

    kind: Literal["voc"] = "voc"
    class_names: ClassVar[tuple[str, ...]] = (
        "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat",
        "chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant",
        "sheep", "sofa", "train", "tvmonitor",
    )  # fmt: skip
    colors: ClassVar[Colors] = (
        (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128),
        (0, 128, 128), (128, 128, 128), (64, 0, 0), (192, 0, 0), (64, 128, 0), (192, 128, 0),
        (64, 0, 128), (192, 0, 128), (64, 128, 128), (192, 128, 128), (0, 64, 0), (128, 64, 0),
        (0, 192, 0), (128, 192, 0), (0, 64, 128),
    )  # fmt: skip

    table_file: ClassVar[str] = "labelmap.txt"

    def list_split(self, root: str, split: str) -> Split:
        """Return the images that ImageSets/Segmentation/<split>.txt names."""
        return self.list_named(root, split, STEM)

    def list_named(self, root: str, split: str, pattern: str) -> Split:
        """Return these images with the masks whose names follow a pattern."""
        name = f"ImageSets/Segmentation/{split}.txt"
        wanted = read_lines(root, name)
        images = Files(root, "JPEGImages", IMAGE_SUFFIXES)
        masks = Files(root, "SegmentationClass", MASK_SUFFIXES, pattern=pattern)
        return match(images, masks, wanted or (), source=f"{root}/{name}")
