"""Cityscapes (Cordts et al., 2016): leftImg8bit/ and gtFine/, labelIds mapped to the 19 training classes, or labelTrainIds."""

from collections.abc import Mapping

from ray_al.core.types import ImageFile
from ray_al.datasets.listing import Split, list_files, same_name, spare_masks

CLASS_NAMES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic_light", "traffic_sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip
COLORS = (
    (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153), (250, 170, 30), (220, 220, 0),
    (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100),
    (0, 0, 230), (119, 11, 32),
)  # fmt: skip
LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
ID_MAP: Mapping[int, int] = {label: index for index, label in enumerate(LABEL_IDS)}
IGNORED_LABEL_IDS = tuple(label for label in range(34) if label not in LABEL_IDS)
PNG = frozenset({".png"})


def uses_train_ids(root: str) -> bool:
    """Whether gtFine/ holds labelTrainIds."""
    return any(path.endswith("_labelTrainIds.png") for path in list_files(root, "gtFine", PNG))


def list_split(root: str, split: str) -> Split:
    """Images of leftImg8bit/<split>/<city>/ with their masks in gtFine/, of the one kind that the whole data set is read with."""
    kind = "labelTrainIds" if uses_train_ids(root) else "labelIds"
    masks = {path: uri for path, uri in list_files(root, f"gtFine/{split}", PNG).items() if path.endswith(f"_{kind}.png")}
    images: dict[str, list[ImageFile]] = {}
    for path, uri in list_files(root, f"leftImg8bit/{split}", PNG | {".jpg"}).items():
        mask = "gtFine/" + path.removeprefix("leftImg8bit/").rsplit("_leftImg8bit", 1)[0] + f"_gtFine_{kind}.png"
        images.setdefault(mask, []).append(ImageFile(image_id=path, uri=uri, mask_uri=masks.get(mask)))
    findings = [same_name([file.uri for file in files]) for files in images.values() if len(files) > 1]
    if spare := sorted(masks.keys() - images.keys()):
        findings.append(spare_masks(spare, "gtFine"))
    return Split(images=tuple(files[0] for files in images.values()), findings=tuple(findings))
