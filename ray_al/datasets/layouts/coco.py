"""Images with annotations in COCO's format, as annotation tools export them.

Lin et al., "Microsoft COCO: common objects in context", ECCV 2014.
"""

import posixpath
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ray_al.core.config.mask_values import IGNORE
from ray_al.core.errors import ConfigError
from ray_al.core.families.layouts import NO_SPLIT, Finding, Layout, MaskSource, Split
from ray_al.core.reading import stamp_of_uri
from ray_al.core.types import IGNORE_INDEX, ImageFile
from ray_al.datasets.coco_file import CocoFile, CocoImage, Id, read_coco
from ray_al.datasets.coco_masks import CocoMasks, check_installed
from ray_al.datasets.findings import listed
from ray_al.datasets.listing import IMAGE_SUFFIXES, Files, place_prefix, same_name

if TYPE_CHECKING:
    from ray_al.core.config import DataConfig

MANY_CROWDS = 0.1
"""Share of annotations marked as crowds above which it must be said what they are; in COCO itself
it is 0.01.
"""
Place = Annotated[str, Field(min_length=1)]


class CocoLayout(Layout):
    """An annotation file for each split, and the images that it lists."""

    kind: Literal["coco"] = "coco"
    draws_masks: ClassVar[bool] = True
    annotations: Place = "annotations/instances_{split}.json"
    """Annotation file of a split, relative to `data.root`; `{split}` is the name of the split."""
    images: Place = "images/{split}"
    """Folder of the images of a split, relative to `data.root`."""
    background: Annotated[str, Field(min_length=1)] | None = "background"
    """Class of the pixels that no annotation covers; null means that these have no label."""
    categories: dict[str, str] = Field(default_factory=dict)
    """Class of each category whose name is not that of its class; `ignore` means no label."""
    overlaps: Literal["smaller_on_top", "file_order"] = "smaller_on_top"
    """Which of two objects a shared pixel belongs to: the smaller one, or the later one in the
    file.
    """
    crowds: Literal["ignore", "objects"] | None = None
    """Meaning of annotations with `iscrowd`: areas without label, except for the single objects
    inside them; or objects like all others, as CVAT marks masks drawn with the brush. Null means
    ignore, but refuses a file with many of them.
    """
    empty: Literal["unlabelled", "background"] = "unlabelled"
    """Meaning of a listed image without annotations: it has no mask yet, or is all background."""
    unlisted: Literal["left_out", "unlabelled"] = "left_out"
    """Whether images in the folder that the file does not list belong to the split, without mask.
    """

    @model_validator(mode="after")
    def _empty_images_have_a_class(self) -> "CocoLayout":
        if self.empty == "background" and self.background is None:
            raise ValueError(
                "empty=background needs a class for pixels without annotation; set background"
            )
        return self

    def names(self, data: "DataConfig", root: str) -> tuple[str, ...]:
        """Return the background's class and those of the pool's categories, by category id."""
        if data.mask_encoding != "ids":
            raise ConfigError(
                f"data.mask_encoding={data.mask_encoding}: annotations in COCO's format have no "
                "colours; leave it out"
            )
        if data.class_names is not None:
            return data.class_names
        file = self._file(root, data.train_split)
        if file is None:
            raise ConfigError(
                f"{self._place(root, data.train_split)}: no such file; correct data.root, "
                "data.train_split or data.dataset.annotations"
            )
        classes = [self._class_of(name) for name in file.categories.values()]
        wanted = [self.background, *(name for name in classes if name != IGNORE)]
        return tuple(dict.fromkeys(name for name in wanted if name is not None))

    def list_split(self, root: str, split: str) -> Split:
        """Return the images that the annotation file of a split lists; see `Layout.list_split`."""
        file = self._file(root, split)
        if file is None:
            place = self._place(root, split)
            message = f"{place}: there is no such annotation file"
            missing = Finding(name=NO_SPLIT, severity="error", message=message)
            return Split(images=(), findings=(missing,))
        folder = _of_split(self.images, split)
        files = Files(root, folder, IMAGE_SUFFIXES)
        found, findings = self._find_images(file, files, _of_split(self.annotations, split))
        images = {
            path: ImageFile(
                image_id=path,
                uri=files.uris[path],
                mask_uri=f"{file.uri}#{image.key}" if self._has_mask(image) else None,
            )
            for path, image in found.items()
        }
        spare = [path for path in files.uris if path not in images]
        if self.unlisted == "unlabelled":
            images |= {path: ImageFile(image_id=path, uri=files.uris[path]) for path in spare}
        findings += [*self._remarks(file, spare), *self._many_crowds(file)]
        return Split(
            images=tuple(images[path] for path in sorted(images)), findings=tuple(findings)
        )

    def mask_source(
        self, data: "DataConfig", root: str, class_names: tuple[str, ...]
    ) -> MaskSource | None:
        """Return what draws the masks; see `Layout.mask_source`."""
        check_installed()
        if self.background is not None and self.background not in class_names:
            raise ConfigError(
                f"data.dataset.background={self.background!r}: no such class in data.class_names "
                f"{list(class_names)}; add it, name another one, or set background=null if pixels "
                "without annotation have no label"
            )
        splits = dict.fromkeys((data.train_split, data.val_split, data.test_split))
        files = [file for split in splits if (file := self._file(root, split)) is not None]
        self._check_categories(files)
        return CocoMasks(
            stamps={file.uri: stamp_of_uri(file.uri) for file in files},
            numbers={file.uri: self._numbers(file, class_names) for file in files},
            background=IGNORE_INDEX
            if self.background is None
            else class_names.index(self.background),
            smaller_on_top=self.overlaps == "smaller_on_top",
            ignores_crowds=self.crowds != "objects",
        )

    def _check_categories(self, files: Sequence[CocoFile]) -> None:
        """Refuse classes for categories that no file has."""
        known = {name for file in files for name in file.categories.values()}
        unknown = sorted(self.categories.keys() - known)
        if files and unknown:
            raise ConfigError(
                f"data.dataset.categories: no file has the category {unknown[0]!r}; they have "
                f"{', '.join(sorted(known))}"
            )

    def _numbers(self, file: CocoFile, class_names: tuple[str, ...]) -> Mapping[Id, int]:
        """Return the class number of each category."""
        numbers: dict[Id, int] = {}
        for category, name in file.categories.items():
            known = self._class_of(name)
            if known != IGNORE and known not in class_names:
                raise ConfigError(
                    f"{file.uri}: its category {name!r} is none of the classes "
                    f"{list(class_names)}; add it to data.class_names (with `ray-al extend "
                    "--add-class` if a run has begun), or say what it is, e.g. "
                    f"data.dataset.categories={{{name}: {class_names[-1]}}}, or {{{name}: "
                    f"{IGNORE}}} for no label"
                )
            numbers[category] = IGNORE_INDEX if known == IGNORE else class_names.index(known)
        return numbers

    def _class_of(self, category: str) -> str:
        return self.categories.get(category, category)

    def _has_mask(self, image: CocoImage) -> bool:
        return bool(image.annotations) or self.empty == "background"

    def _place(self, root: str, split: str) -> str:
        return place_prefix(root) + _of_split(self.annotations, split)

    def _file(self, root: str, split: str) -> CocoFile | None:
        """Return the annotation file of a split; None if it does not exist."""
        place = self._place(root, split)
        stamp = stamp_of_uri(place)
        return read_coco(place, stamp) if stamp else None

    def _find_images(
        self, file: CocoFile, files: Files, annotations: str
    ) -> tuple[dict[str, CocoImage], list[Finding]]:
        """Return the listed image of each file, by its path, and what is wrong with the list.

        A name is a path below the folder of the images, of the annotation file, or of the root.
        Otherwise it is the name of the only file that is called so, wherever the tool had it.
        """
        by_name = Counter(posixpath.basename(path) for path in files.uris)
        by_base = {posixpath.basename(path): path for path in files.uris}
        listed_bases = Counter(posixpath.basename(one.file_name) for one in file.images.values())
        found: dict[str, CocoImage] = {}
        missing: list[str] = []
        findings: list[Finding] = []
        for image in file.images.values():
            name, base = image.file_name, posixpath.basename(image.file_name)
            folders = (files.folder, posixpath.dirname(annotations), "")
            paths = [posixpath.normpath(posixpath.join(folder, name)) for folder in folders]
            path = next((path for path in paths if path in files.uris), None)
            if path is None and by_name[base] == listed_bases[base] == 1:
                path = by_base[base]
            if path is None:
                missing.append(name)
            elif path in found:
                findings.append(same_name([f"{file.uri}#{found[path].key}", name]))
            else:
                found[path] = image
        if missing:
            findings.append(_missing_images(missing, file, files.folder))
        return found, findings

    def _many_crowds(self, file: CocoFile) -> list[Finding]:
        """Return a finding if so many annotations are crowds that they may be objects."""
        marks = [one.is_crowd for image in file.images.values() for one in image.annotations]
        if self.crowds is not None or sum(marks) <= MANY_CROWDS * len(marks):
            return []
        message = (
            f"{file.uri}: {sum(marks)} of {len(marks)} annotations are marked iscrowd; if they are "
            "objects, as masks drawn with the brush in CVAT are, set data.dataset.crowds=objects; "
            "if they have no label, set data.dataset.crowds=ignore"
        )
        return [Finding(name="many_crowds", severity="error", message=message)]

    def _remarks(self, file: CocoFile, spare: list[str]) -> list[Finding]:
        """Return findings about what is left out of a split, or has no mask."""
        remarks: dict[str, str] = {}
        empty = [one.file_name for one in file.images.values() if not self._has_mask(one)]
        if empty:
            remarks["images_without_annotation"] = (
                f"{file.uri}: {len(empty)} images have no annotation and count as unlabelled: "
                f"{listed(empty)}; if they show background alone, set data.dataset.empty=background"
            )
        if spare and self.unlisted == "left_out":
            remarks["unlisted_images"] = (
                f"{file.uri}: does not list {len(spare)} images of its folder, which are left "
                f"out: {listed(spare)}; to take them in as unlabelled images, set "
                "data.dataset.unlisted=unlabelled"
            )
        if file.num_stray:
            remarks["stray_annotations"] = (
                f"{file.uri}: {file.num_stray} annotations belong to images that it does not list, "
                "and are not used"
            )
        return [
            Finding(name=name, severity="warning", message=message)
            for name, message in remarks.items()
        ]


def _of_split(template: str, split: str) -> str:
    return posixpath.normpath(template.replace("{split}", split))


def _missing_images(names: list[str], file: CocoFile, folder: str) -> Finding:
    return Finding(
        name="unmatched_names",
        severity="error",
        message=f"{file.uri}: {len(names)} of {len(file.images)} images that it lists are not "
        f"below {folder}/: {listed(map(repr, names))}; put them there, correct "
        "data.dataset.images, or, if they are left out on purpose, set "
        "data.allow=[unmatched_names]",
    )
