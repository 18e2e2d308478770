"""Open a data set, whatever its layout."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ray_al.core.config import DataConfig, RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.families.layouts import NO_SPLIT, Colors, Finding, Layout
from ray_al.core.places import before_work, is_folder, storage_errors
from ray_al.core.storage import Storage
from ray_al.core.types import ImageFile
from ray_al.datasets.class_table import open_class_table
from ray_al.datasets.mask_decoder import MaskDecoder
from ray_al.datasets.pixels import PLAIN, PixelRule
from ray_al.datasets.validation import (
    draw_validation,
    recorded_validation,
    unlabelled_validation,
)


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
        layout_void_ids: those of them that the layout itself defines.
        findings: what was wrong with the lists of files.
        allow: names of findings that are intended.
        pixels: what the values of images become.
        unlabelled: names of the validation images whose masks people make. `with_masks` adds those
            masks.
        labelled: names of the validation images, or tiles of them, whose masks people made.
    """

    root: str
    class_names: tuple[str, ...]
    colors: Colors
    decoder: MaskDecoder
    splits: Mapping[str, tuple[ImageFile, ...]]
    void_ids: frozenset[int] = frozenset()
    layout_void_ids: frozenset[int] = frozenset()
    findings: tuple[Finding, ...] = ()
    allow: frozenset[str] = frozenset()
    pixels: PixelRule = PLAIN
    unlabelled: frozenset[str] = frozenset()
    labelled: frozenset[str] = frozenset()

    @property
    def num_classes(self) -> int:
        """The number of classes that are learnt."""
        return len(self.class_names)

    def digest(self, split: str) -> str:
        """Return the SHA-256 of the names of a split's images with masks, wherever they are."""
        names = [
            image.image_id
            for image in self.splits[split]
            if image.mask_uri is not None or image.image_id in self.unlabelled
        ]
        return hashlib.sha256("\n".join(names).encode()).hexdigest()

    def with_masks(self, masks: Mapping[str, str]) -> "Dataset":
        """Return the data set with masks that people made of validation images.

        Args:
            masks: image_id -> URI of a mask of class ids. Others of `unlabelled` have none.
        """
        images = tuple(
            replace(image, mask_uri=masks[image.image_id]) if image.image_id in masks else image
            for image in self.splits["val"]
        )
        return replace(self, splits={**self.splits, "val": images}, labelled=frozenset(masks))

    def decoder_of(self, image: ImageFile) -> MaskDecoder:
        """Return what reads the mask of an image."""
        by_people = image.image_id in self.labelled
        return MaskDecoder(num_classes=self.num_classes) if by_people else self.decoder


@before_work()
def open_dataset(
    data: DataConfig, run: Storage | None = None, *, asks_people: bool = False
) -> Dataset:
    """List the files of a data set; no image is opened.

    Args:
        data: the section `data`.
        run: the directory of a run that has begun; the images that it drew for validation are used.
        asks_people: whether people label validation images that have no mask
            (`label.validation`); for a run that has begun, its record decides.

    Raises:
        ConfigError: a missing root, an empty split, or an impossible class table; the message names
            the folder or key and the remedy.
    """
    root = _root(data)
    table = open_class_table(data, root)
    splits, findings = _list_splits(data, root, data.dataset, run, asks_people)
    unlabelled = unlabelled_validation(splits["val"], run, asks_people=asks_people)
    splits["val"] = tuple(
        replace(image, mask_uri=None) if image.image_id in unlabelled else image
        for image in splits["val"]
    )
    return Dataset(
        root=root,
        class_names=table.class_names,
        colors=table.colors,
        decoder=table.decoder,
        splits=splits,
        void_ids=table.void_ids,
        layout_void_ids=table.layout_void_ids,
        findings=findings,
        allow=frozenset(data.allow),
        pixels=PixelRule.of(data),
        unlabelled=unlabelled,
    )


def _list_splits(
    data: DataConfig, root: str, layout: Layout, run: Storage | None, asks_people: bool
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
            splits["train"], splits["val"] = parts or draw_validation(
                splits["train"], share, name, asks_people=asks_people
            )
            continue
        split = (
            layout.list_split(root, name)
            if data.mask_suffix is None
            else layout.list_named(root, name, data.mask_suffix)
        )
        optional = (NO_SPLIT,) if role == "test" else ()
        findings += (
            finding
            for finding in split.findings
            if finding not in findings and finding.name not in optional
        )
        if split.images:
            splits[role] = split.images
        elif role != "test":
            reasons = "".join(f"; {finding.message}" for finding in split.findings)
            draw = ", or draw images of the pool: data.val_split='10 %'" if role == "val" else ""
            raise ConfigError(
                f"data.root {root!r}: no images of split {name!r} in the layout {layout.kind!r}; "
                f"correct data.root or data.{role}_split{draw}{reasons}"
            )
    for images in splits.values():
        _check_names(images)
    return splits, tuple(findings)


def _check_names(images: Iterable[ImageFile]) -> None:
    """Refuse names that no table can hold: disks take any bytes, text must be UTF-8.

    Raises:
        ConfigError: with the first such name.
    """
    for image in images:
        for name in (image.image_id, image.uri, image.mask_uri or ""):
            try:
                name.encode()
            except UnicodeEncodeError:
                raise ConfigError(
                    f"data.root: the name {os.fsencode(name)!r} is not in UTF-8; rename the file"
                ) from None


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
    what = "a file, not a folder:" if os.path.isfile(root) else "no such folder"
    raise ConfigError(
        f"data.root: {what} {root!r}; give the folder that holds the images of dataset "
        f"{data.dataset.kind!r} (for a run whose data have moved: ray-al resume RUN_DIR --set "
        "data.root=FOLDER)"
    )
