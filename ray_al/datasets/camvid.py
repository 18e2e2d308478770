"""CamVid as EquAL uses it: train/ trainannot/ val/ valannot/ test/ testannot/, ids 0 to 10, 11 is void (Brostow et al., 2009)."""

from ray_al.datasets.listing import IMAGE_SUFFIXES, MASK_SUFFIXES, Files, Split, match

CLASS_NAMES = ("sky", "building", "pole", "road", "pavement", "tree", "sign_symbol", "fence", "car", "pedestrian", "bicyclist")
COLORS = (
    (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
    (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
)  # fmt: skip
IGNORE_IDS = (11,)


def list_split(root: str, split: str) -> Split:
    """Images of `<split>/` with the masks of the same name in `<split>annot/`."""
    return match(Files(root, split, IMAGE_SUFFIXES), Files(root, f"{split}annot", MASK_SUFFIXES))
