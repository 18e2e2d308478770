"""One row a layout, and how to open it."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ray_al.core.config import DataConfig
from ray_al.core.errors import ConfigError, DataError
from ray_al.core.places import before_work, is_folder, told
from ray_al.core.types import ImageFile
from ray_al.datasets import camvid, cityscapes, folder, synthetic, voc
from ray_al.datasets.images import read_image_size
from ray_al.datasets.masks import MaskDecoder, read_mask_size

Colors = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a data set lies on a disk; empty `class_names` must come from the configuration."""

    list_split: Callable[[str, str], tuple[ImageFile, ...]]
    class_names: tuple[str, ...] = ()
    colors: Colors = ()
    ignore_ids: tuple[int, ...] = ()


LAYOUTS: Mapping[str, Layout] = {
    "camvid": Layout(list_split=camvid.list_split, class_names=camvid.CLASS_NAMES, colors=camvid.COLORS, ignore_ids=camvid.IGNORE_IDS),
    "cityscapes": Layout(list_split=cityscapes.list_split, class_names=cityscapes.CLASS_NAMES, colors=cityscapes.COLORS),
    "voc": Layout(list_split=voc.list_split, class_names=voc.CLASS_NAMES, colors=voc.COLORS),
    "folder": Layout(list_split=folder.list_split),
    "synthetic": Layout(list_split=camvid.list_split, class_names=synthetic.CLASS_NAMES, colors=synthetic.COLORS),
}


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Splits (`train` is the pool, `val`, and `test` where there is one), classes and how masks are read."""

    class_names: tuple[str, ...]
    colors: Colors
    decoder: MaskDecoder
    splits: Mapping[str, tuple[ImageFile, ...]]

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


@before_work()
def open_dataset(data: DataConfig) -> Dataset:
    """List the files of a data set; no image is opened.

    Raises:
        ConfigError: a missing root, an empty split or a class table that cannot be, with the folder or key and the remedy.
    """
    layout = LAYOUTS[data.dataset]
    root = _root(data)
    class_names = data.class_names or layout.class_names
    if not class_names:
        raise ConfigError(f"data.class_names is missing; dataset {data.dataset!r} needs the names of its classes, id 0 first")
    if len(set(class_names)) != len(class_names) or len(class_names) > 255:
        raise ConfigError(f"data.class_names: {len(class_names)} names; give at most 255, each once")
    colors = data.colors or layout.colors[: len(class_names)]
    if len(colors) != len(class_names):
        if data.colors or data.mask_encoding == "colors":
            raise ConfigError(f"data.colors: {len(colors)} colours for {len(class_names)} classes; give one a class, in their order")
        colors = tuple(_color(index) for index in range(len(class_names)))
    decoder = _decoder(data, root, len(class_names), colors, layout)
    splits = {}
    for role, name in (("train", data.train_split), ("val", data.val_split), ("test", data.test_split)):
        images = layout.list_split(root, name)
        if images:
            splits[role] = images
        elif role != "test":
            raise ConfigError(
                f"data.root {root!r}: no images of split {name!r} in the layout {data.dataset!r}; correct data.root or data.{role}_split"
            )
    return Dataset(class_names=class_names, colors=colors, decoder=decoder, splits=splits)


def _root(data: DataConfig) -> str:
    """Where the data set lies, once it is there; synthetic scenes are written if need be.

    Raises:
        ConfigError: there is no such folder, or it can be neither read nor, for synthetic scenes, written.
    """
    with before_work("data.root"):
        if data.dataset == "synthetic" and "://" not in (data.root or ""):
            cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
            root = data.root or os.path.join(cache, "ray_al", f"synthetic-{data.num_images}-{data.seed}")
            with told(root):
                synthetic.write_synthetic(root, num_images=data.num_images, seed=data.seed)
            return root
        assert data.root is not None  # the configuration demands it
        known = is_folder(data.root)
    if known:
        return data.root
    if data.dataset == "synthetic":
        raise ConfigError(f"data.root: no such folder {data.root!r}; synthetic scenes are written to a disk alone, give a path there or leave it out")
    raise ConfigError(f"data.root: no such folder {data.root!r}; give the folder that holds the images of dataset {data.dataset!r}")


def _decoder(data: DataConfig, root: str, num_classes: int, colors: Colors, layout: Layout) -> MaskDecoder:
    id_map, ignore_ids = None, data.ignore_ids or layout.ignore_ids
    if data.dataset == "cityscapes" and not cityscapes.uses_train_ids(root):
        id_map, ignore_ids = cityscapes.ID_MAP, cityscapes.IGNORED_LABEL_IDS
    return MaskDecoder(
        num_classes=num_classes,
        encoding=data.mask_encoding,
        colors=colors,
        ignore_ids=ignore_ids,
        id_map=id_map,
        nearest_color=data.nearest_color,
    )


def _color(index: int) -> tuple[int, int, int]:
    """A colour a class, Pascal VOC's bit scheme, from 1 so that none is black."""
    value, rgb = index + 1, [0, 0, 0]
    for shift in range(7, -1, -1):
        for channel in range(3):
            rgb[channel] |= (value >> channel & 1) << shift
        value >>= 3
    return rgb[0], rgb[1], rgb[2]


def check_start(dataset: Dataset) -> None:
    """What a run may look at before it begins: all validation masks' headers.

    Raises:
        ConfigError: a mask is missing or has another size than its image.
    """
    for image in dataset.splits["val"]:
        if image.mask_uri is None:
            raise ConfigError(f"{image.uri}: this validation image has no mask; add it, or take the image out of the split")
        try:
            size, mask_size = read_image_size(image.uri), read_mask_size(image.mask_uri)
        except DataError as error:
            raise ConfigError(str(error)) from None
        if size != mask_size:
            raise ConfigError(
                f"{image.mask_uri}: {mask_size[0]}x{mask_size[1]} pixels, its image {size[0]}x{size[1]}; export the mask at the image's size"
            )
