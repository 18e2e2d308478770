"""Cityscapes.

Cordts et al., "The Cityscapes dataset for semantic urban scene understanding", CVPR 2016.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from ray_al.core.config.mask_values import IGNORE, Value
from ray_al.core.errors import ConfigError
from ray_al.core.families.layouts import Colors, Layout, MaskNumbers, Split
from ray_al.core.types import IGNORE_INDEX, ImageFile
from ray_al.datasets.listing import list_files, same_name, spare_masks

if TYPE_CHECKING:
    from ray_al.core.config import DataConfig

LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""The labelIds of the 19 classes that are trained, in the order of their class ids."""
IGNORED_LABEL_IDS = tuple(label for label in range(34) if label not in LABEL_IDS)
IGNORED_COLORS = (
    (0, 0, 0), (111, 74, 0), (81, 0, 81), (250, 170, 160), (230, 150, 140), (180, 165, 180),
    (150, 100, 100), (150, 120, 90), (0, 0, 90), (0, 0, 110),
)  # fmt: skip
"""The colours of labels that are not trained; two others have the colours of pole and car."""
KINDS = ("labelTrainIds", "labelIds", "color")
"""Kinds of masks, the preferred one first."""
PNG = frozenset({".png"})


class CityscapesLayout(Layout):
    """Folders leftImg8bit/ and gtFine/ with masks of labelTrainIds, labelIds or colours.

    The labelIds and colours are mapped to the 19 classes that are trained. Among colours, groups of
    poles count as poles, and licence plates as cars, because they look alike.
    """

    kind: Literal["cityscapes"] = "cityscapes"
    class_names: ClassVar[tuple[str, ...]] = (
        "road", "sidewalk", "building", "wall", "fence", "pole", "traffic_light", "traffic_sign",
        "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train",
        "motorcycle", "bicycle",
    )  # fmt: skip
    colors: ClassVar[Colors] = (
        (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153),
        (153, 153, 153), (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152),
        (70, 130, 180), (220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100),
        (0, 80, 100), (0, 0, 230), (119, 11, 32),
    )  # fmt: skip
    void_ids: ClassVar[frozenset[int]] = frozenset({IGNORE_INDEX, *IGNORED_LABEL_IDS})

    def list_split(self, root: str, split: str) -> Split:
        """Return the images of leftImg8bit/<split>/<city>/ with their masks in gtFine/.

        All masks of a data set are of one kind.
        """
        kind = _kind_of_masks(root)
        found = list_files(root, f"gtFine/{split}", PNG)
        masks = {path: uri for path, uri in found.items() if path.endswith(f"_{kind}.png")}
        images: dict[str, list[ImageFile]] = {}
        for path, uri in list_files(root, f"leftImg8bit/{split}", PNG | {".jpg"}).items():
            place = path.removeprefix("leftImg8bit/").rsplit("_leftImg8bit", 1)[0]
            mask = f"gtFine/{place}_gtFine_{kind}.png"
            file = ImageFile(image_id=path, uri=uri, mask_uri=masks.get(mask))
            images.setdefault(mask, []).append(file)
        twice = [files for files in images.values() if len(files) > 1]
        findings = [same_name([file.uri for file in files]) for files in twice]
        if spare := sorted(masks.keys() - images.keys()):
            findings.append(spare_masks(spare, "gtFine"))
        return Split(images=tuple(files[0] for files in images.values()), findings=tuple(findings))

    def mask_colors(self, root: str) -> Mapping[Value, str]:
        """Return the palette if the masks hold colours."""
        if _kind_of_masks(root) != "color":
            return {}
        classes: dict[Value, str] = dict(zip(self.colors, self.class_names, strict=True))
        return {**classes, **dict.fromkeys(IGNORED_COLORS, IGNORE)}

    def numbers(self, data: "DataConfig", root: str, num_names: int) -> MaskNumbers | None:
        """Return the class ids of labelIds; None if the masks hold labelTrainIds."""
        if _kind_of_masks(root) != "labelIds":
            return None
        num_classes = len(self.class_names)
        if data.ignore_ids or data.mask_encoding == "colors" or num_names != num_classes:
            raise ConfigError(
                f"data.dataset {self.kind!r}: masks of labelIds hold {num_classes} fixed classes; "
                "leave out data.ignore_ids, data.mask_encoding and data.class_names, or add masks "
                "of labelTrainIds"
            )
        id_map = {label: class_id for class_id, label in enumerate(LABEL_IDS)}
        return MaskNumbers(id_map=id_map, ignored=IGNORED_LABEL_IDS)


def _kind_of_masks(root: str) -> str:
    """Return the kind of the masks below gtFine/."""
    paths = list_files(root, "gtFine", PNG)
    found = [kind for kind in KINDS if any(path.endswith(f"_{kind}.png") for path in paths)]
    return found[0] if found else "labelIds"
