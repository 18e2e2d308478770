"""Open a data set, whatever its layout."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass

from ray_al.core.config import DataConfig, RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.families.layouts import Colors, Finding, Layout
from ray_al.core.places import before_work, is_folder, storage_errors
from ray_al.core.storage import Storage
from ray_al.core.types import ImageFile
from ray_al.datasets.mask_decoder import MaskDecoder
from ray_al.datasets.validation import draw_validation, recorded_validation

MAX_CLASS_NAMES = 255
"""Class ids are bytes, and 255 means "no label"."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The images and classes of a data set, and how its masks are read.

    Attributes:
        root: path or URI of the folder of the files.
        class_names: of the classes that are learnt, by id; `data.ignore_ids` takes classes out.
        colors: one colour per class.
        decoder: turns masks into class ids.
        splits: images by role: `train` (the pool), `val` (empty with `data.val_split: none`), and
            `test` if there is one.
        void_ids: numbers in masks that are known to mean "no label"; others are assumed to.
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
        """The number of classes that are learnt."""
        return len(self.class_names)

    def digest(self, split: str) -> str:
        """Return the SHA-256 of the names of a split's images with masks, wherever they are."""
        names = [image.image_id for image in self.splits[split] if image.mask_uri is not None]
        return hashlib.sha256("\n".join(names).encode()).hexdigest()


@before_work()
def open_dataset(data: DataConfig, run: Storage | None = None) -> Dataset:
    """List the files of a data set; no image is opened.

    Args:
        data: the section `data`.
        run: the directory of a run that has begun; the images that it drew for validation are used.

    Raises:
        ConfigError: a missing root, an empty split, or an impossible class table; the message names
            the folder or key and the remedy.
    """
    layout = data.dataset
    root = _root(data)
    class_names, colors = _class_table(data, layout)
    decoder = _decoder(data, root, len(class_names), colors, layout)
    ignored = frozenset(data.ignore_ids or layout.ignore_ids)
    learnt = [number for number in range(len(class_names)) if number not in ignored]
    if not learnt:
        raise ConfigError(
            f"data.ignore_ids {sorted(ignored)}: names every class; leave out the ids of classes "
            "that are to be learnt"
        )
    splits, findings = _list_splits(data, root, layout, run)
    void_ids = ignored & frozenset(range(len(class_names)))
    if not (data.class_names or data.ignore_ids):
        void_ids |= layout.void_ids
    return Dataset(
        root=root,
        class_names=tuple(class_names[number] for number in learnt),
        colors=tuple(colors[number] for number in learnt),
        decoder=decoder,
        splits=splits,
        void_ids=void_ids,
        findings=findings,
        allow=frozenset(data.allow),
    )


def _list_splits(
    data: DataConfig, root: str, layout: Layout, run: Storage | None
) -> tuple[dict[str, tuple[ImageFile, ...]], tuple[Finding, ...]]:
    """Return the images by role and what was found while they were listed."""
    names = {"train": data.train_split, "val": data.val_split, "test": data.test_split}
    share = data.val_share
    splits: dict[str, tuple[ImageFile, ...]] = {}
    findings: list[Finding] = []
    for role, name in names.items():
        if role == "val" and not data.has_validation:
            splits["val"] = ()
            continue
        if role == "val" and share is not None:
            parts = recorded_validation(splits["train"], run) if run is not None else None
            splits["train"], splits["val"] = parts or draw_validation(splits["train"], share, name)
            continue
        split = layout.list_split(root, name)
        findings += (finding for finding in split.findings if finding not in findings)
        if split.images:
            splits[role] = split.images
        elif role != "test":
            reasons = "".join(f"; {finding.message}" for finding in split.findings)
            raise ConfigError(
                f"data.root {root!r}: no images of split {name!r} in the layout {layout.kind!r}; "
                f"correct data.root or data.{role}_split{reasons}"
            )
    return splits, tuple(findings)


def _class_table(data: DataConfig, layout: Layout) -> tuple[tuple[str, ...], Colors]:
    """Return the name and the colour of each class number in the masks."""
    class_names = data.class_names or layout.class_names
    if not class_names:
        raise ConfigError(
            f"data.class_names is missing; dataset {layout.kind!r} needs the names of its classes, "
            "id 0 first"
        )
    if len(set(class_names)) != len(class_names) or len(class_names) > MAX_CLASS_NAMES:
        raise ConfigError(
            f"data.class_names: {len(class_names)} names; give at most {MAX_CLASS_NAMES}, each once"
        )
    colors = _class_colors(data, layout, len(class_names))
    if data.nearest_color and data.mask_encoding == "ids":
        raise ConfigError(
            "data.nearest_color: true has no effect on masks of ids; set "
            "data.mask_encoding=colors, or leave it out"
        )
    return class_names, colors


def _class_colors(data: DataConfig, layout: Layout, num_names: int) -> Colors:
    """Return the colour of each class number: as set, of the layout, or generated."""
    colors = data.colors or layout.colors[:num_names]
    if len(colors) != num_names:
        if data.colors or data.mask_encoding == "colors":
            raise ConfigError(
                f"data.colors: {len(colors)} colours for {num_names} classes; give one per class, "
                "in their order"
            )
        colors = tuple(_generated_color(index) for index in range(num_names))
    twice = [color for color in colors if colors.count(color) > 1]
    if twice and data.mask_encoding == "colors":
        raise ConfigError(
            f"data.colors: {list(twice[0])} is the colour of several classes, which masks cannot "
            "distinguish then; give each its own colour"
        )
    return colors


def data_root(data: DataConfig) -> str:
    """Return the folder of a data set's files.

    That is `data.root`, or a folder in this user's cache if the layout makes the files.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return data.root or data.dataset.default_root(data, os.path.join(cache, "ray_al"))


def with_root(config: RunConfig) -> RunConfig:
    """Return `config` with `data.root` written out.

    Workers on other hosts, with another environment, thus read from the folder of the driver.
    """
    return config.model_copy(
        update={"data": config.data.model_copy(update={"root": data_root(config.data)})}
    )


def _root(data: DataConfig) -> str:
    """Return the folder of the files, and write synthetic scenes if need be.

    Raises:
        ConfigError: there is no such folder, or it cannot be read, or, for synthetic scenes, cannot
            be written.
    """
    root = data_root(data)
    with before_work("data.root"):
        with storage_errors(root):
            is_there = data.dataset.prepare(data, root)
        is_there = is_there or is_folder(root)
    if is_there:
        return root
    raise ConfigError(
        f"data.root: no such folder {root!r}; give the folder that holds the images of dataset "
        f"{data.dataset.kind!r} (for a run whose data have moved: ray-al resume RUN_DIR --set "
        "data.root=FOLDER)"
    )


def _decoder(
    data: DataConfig, root: str, num_names: int, colors: Colors, layout: Layout
) -> MaskDecoder:
    """Return the decoder of the masks; an ignored class has no id, and the ids after it move up."""
    numbers = layout.numbers(data, root, num_names)
    if numbers is not None:
        return MaskDecoder(num_classes=num_names, ignore_ids=numbers.ignored, id_map=numbers.id_map)
    ignore_ids = data.ignore_ids or layout.ignore_ids
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


def _generated_color(index: int) -> tuple[int, int, int]:
    """Return the colour of a class by Pascal VOC's bit scheme, from 1 so none is black."""
    value, rgb = index + 1, [0, 0, 0]
    for shift in range(7, -1, -1):
        for channel in range(3):
            rgb[channel] |= (value >> channel & 1) << shift
        value >>= 3
    return rgb[0], rgb[1], rgb[2]
