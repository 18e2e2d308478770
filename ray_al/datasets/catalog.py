"""One row a layout, and how to open it."""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ray_al.core.config import DataConfig, RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.places import before_work, is_folder, told
from ray_al.core.types import IGNORE_INDEX, ImageFile
from ray_al.datasets import camvid, cityscapes, folder, synthetic, voc
from ray_al.datasets.findings import Finding
from ray_al.datasets.listing import Split
from ray_al.datasets.masks import MaskDecoder

Colors = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a data set lies on a disk; empty `class_names` must come from the configuration.

    Attributes:
        ignore_ids: what `data.ignore_ids` is where it is not set.
        void_ids: numbers that are known to mean "no label" where the classes are the layout's own.
    """

    list_split: Callable[[str, str], Split]
    class_names: tuple[str, ...] = ()
    colors: Colors = ()
    ignore_ids: tuple[int, ...] = ()
    void_ids: frozenset[int] = frozenset()


VOID = frozenset({IGNORE_INDEX})
LAYOUTS: Mapping[str, Layout] = {
    "camvid": Layout(
        list_split=camvid.list_split,
        class_names=camvid.CLASS_NAMES,
        colors=camvid.COLORS,
        ignore_ids=camvid.IGNORE_IDS,
        void_ids=VOID | frozenset(camvid.IGNORE_IDS),
    ),
    "cityscapes": Layout(
        list_split=cityscapes.list_split,
        class_names=cityscapes.CLASS_NAMES,
        colors=cityscapes.COLORS,
        void_ids=VOID | frozenset(cityscapes.IGNORED_LABEL_IDS),
    ),
    "voc": Layout(list_split=voc.list_split, class_names=voc.CLASS_NAMES, colors=voc.COLORS, void_ids=VOID),
    "folder": Layout(list_split=folder.list_split),
    "synthetic": Layout(list_split=camvid.list_split, class_names=synthetic.CLASS_NAMES, colors=synthetic.COLORS, void_ids=VOID),
}


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Splits (`train` is the pool, `val`, and `test` where there is one), classes and how masks are read.

    Attributes:
        root: of the files.
        class_names: of the classes that are learnt; what `data.ignore_ids` names is none of them.
        void_ids: numbers in masks that are known to mean "no label"; of others it is only assumed.
        findings: what was wrong with the lists of files.
        allow: names of findings that are intended.
    """

    root: str
    class_names: tuple[str, ...]
    colors: Colors
    decoder: MaskDecoder
    splits: Mapping[str, tuple[ImageFile, ...]]
    void_ids: frozenset[int] = frozenset()
    findings: tuple[Finding, ...] = ()
    allow: frozenset[str] = frozenset()

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def digest(self, split: str) -> str:
        """Names the images of a split that have masks, wherever they are."""
        names = [image.image_id for image in self.splits[split] if image.mask_uri is not None]
        return hashlib.sha256("\n".join(names).encode()).hexdigest()


@before_work()
def open_dataset(data: DataConfig) -> Dataset:
    """List the files of a data set; no image is opened.

    Raises:
        ConfigError: a missing root, an empty split or a class table that cannot be, with the folder or key and the remedy.
    """
    layout = LAYOUTS[data.dataset]
    root = _root(data)
    class_names, colors = _class_table(data, layout)
    decoder = _decoder(data, root, len(class_names), colors, layout)
    ignored = frozenset(data.ignore_ids or layout.ignore_ids)
    learnt = [number for number in range(len(class_names)) if number not in ignored]
    if not learnt:
        raise ConfigError(f"data.ignore_ids {sorted(ignored)}: names every class; leave out the ids of classes that are to be learnt")
    splits: dict[str, tuple[ImageFile, ...]] = {}
    findings: list[Finding] = []
    for role, name in (("train", data.train_split), ("val", data.val_split), ("test", data.test_split)):
        split = layout.list_split(root, name)
        findings += (finding for finding in split.findings if finding not in findings)
        if split.images:
            splits[role] = split.images
        elif role != "test":
            reasons = "".join(f"; {finding.message}" for finding in split.findings)
            raise ConfigError(
                f"data.root {root!r}: no images of split {name!r} in the layout {data.dataset!r}; correct data.root or data.{role}_split{reasons}"
            )
    return Dataset(
        root=root,
        class_names=tuple(class_names[number] for number in learnt),
        colors=tuple(colors[number] for number in learnt),
        decoder=decoder,
        splits=splits,
        void_ids=ignored & frozenset(range(len(class_names))) | (frozenset() if data.class_names or data.ignore_ids else layout.void_ids),
        findings=tuple(findings),
        allow=frozenset(data.allow),
    )


def _class_table(data: DataConfig, layout: Layout) -> tuple[tuple[str, ...], Colors]:
    """Name and colour of every number of a class in the masks."""
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
    if data.mask_encoding == "colors" and (twice := [color for color in colors if colors.count(color) > 1]):
        raise ConfigError(f"data.colors: {list(twice[0])} stands for several classes, which masks cannot tell apart then; give each its own colour")
    if data.nearest_color and data.mask_encoding == "ids":
        raise ConfigError("data.nearest_color: true has no effect on masks of ids; set data.mask_encoding=colors, or leave it out")
    return class_names, colors


def data_root(data: DataConfig) -> str:
    """Where the files of a data set are: `data.root`, or the folder in this user's cache that synthetic scenes are drawn into."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return data.root or os.path.join(cache, "ray_al", f"synthetic-{data.num_images}-{data.seed}")


def with_root(config: RunConfig) -> RunConfig:
    """`config` with `data.root` written out, so that workers elsewhere, of another environment, read where its driver reads."""
    return config.model_copy(update={"data": config.data.model_copy(update={"root": data_root(config.data)})})


def _root(data: DataConfig) -> str:
    """Where the data set lies, once it is there; synthetic scenes are written if need be.

    Raises:
        ConfigError: there is no such folder, or it can be neither read nor, for synthetic scenes, written.
    """
    root = data_root(data)
    with before_work("data.root"):
        if data.dataset == "synthetic" and "://" not in root:
            with told(root):
                synthetic.write_synthetic(root, num_images=data.num_images, seed=data.seed)
            return root
        known = is_folder(root)
    if known:
        return root
    if data.dataset == "synthetic":
        raise ConfigError(f"data.root: no such folder {root!r}; synthetic scenes are written to a disk alone, give a path there or leave it out")
    raise ConfigError(
        f"data.root: no such folder {root!r}; give the folder that holds the images of dataset {data.dataset!r} "
        "(of a run whose data have moved: ray-al resume RUN_DIR --set data.root=FOLDER)"
    )


def _decoder(data: DataConfig, root: str, num_names: int, colors: Colors, layout: Layout) -> MaskDecoder:
    if data.dataset == "cityscapes" and not cityscapes.uses_train_ids(root):
        if data.ignore_ids or data.mask_encoding == "colors" or num_names != len(cityscapes.CLASS_NAMES):
            raise ConfigError(
                f"data.dataset 'cityscapes': masks of labelIds hold {len(cityscapes.CLASS_NAMES)} fixed classes; leave out data.ignore_ids, "
                "data.mask_encoding and data.class_names, or put masks of labelTrainIds there"
            )
        return MaskDecoder(num_classes=num_names, ignore_ids=cityscapes.IGNORED_LABEL_IDS, id_map=cityscapes.ID_MAP)
    ignore_ids = data.ignore_ids or layout.ignore_ids
    # A class whose number is ignored is no class: the network has no output for it, and the others move up.
    learnt = [number for number in range(num_names) if number not in ignore_ids]
    id_map = {number: class_id for class_id, number in enumerate(learnt)}
    return MaskDecoder(
        num_classes=len(learnt),
        encoding=data.mask_encoding,
        colors=colors,
        ignore_ids=ignore_ids,
        id_map=id_map if len(learnt) < num_names else None,
        nearest_color=data.nearest_color,
        checks_palette=bool(data.colors),
    )


def _color(index: int) -> tuple[int, int, int]:
    """A colour a class, Pascal VOC's bit scheme, from 1 so that none is black."""
    value, rgb = index + 1, [0, 0, 0]
    for shift in range(7, -1, -1):
        for channel in range(3):
            rgb[channel] |= (value >> channel & 1) << shift
        value >>= 3
    return rgb[0], rgb[1], rgb[2]
