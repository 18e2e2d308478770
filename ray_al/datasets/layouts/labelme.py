"""Images with the annotations that labelme saves, one JSON file for each."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ray_al.core.config.mask_values import IGNORE
from ray_al.core.errors import ConfigError
from ray_al.core.families.layouts import Layout, MaskSource, Split
from ray_al.core.types import IGNORE_INDEX
from ray_al.datasets.labelme_masks import LabelmeMasks
from ray_al.datasets.listing import IMAGE_SUFFIXES, Files, match

if TYPE_CHECKING:
    from ray_al.core.config import DataConfig

Place = Annotated[str, Field(min_length=1)]


class LabelmeLayout(Layout):
    """A folder of images for each split, and a JSON file with the name of each annotated image."""

    kind: Literal["labelme"] = "labelme"
    draws_masks: ClassVar[bool] = True
    images: Place = "images/{split}"
    """Folder of the images of a split, relative to `data.root`; `{split}` is its name."""
    annotations: Place = "images/{split}"
    """Folder of the JSON files of a split, relative to `data.root`."""
    background: Annotated[str, Field(min_length=1)] | None = "background"
    """Class of the pixels that no shape covers; null means that these have no label."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Class of each label whose name is not that of its class; `ignore` means no label."""

    def list_split(self, root: str, split: str) -> Split:
        """Return the images of a split; those without a JSON file have no mask yet."""
        folders = [place.replace("{split}", split) for place in (self.images, self.annotations)]
        images = Files(root, folders[0], IMAGE_SUFFIXES)
        annotations = Files(root, folders[1], frozenset({".json"}))
        if folders[0] == folders[1]:
            annotations.unread.clear()  # they are the images
        return match(images, annotations)

    def mask_source(
        self, data: "DataConfig", root: str, class_names: tuple[str, ...]
    ) -> MaskSource | None:
        """Return what draws the masks; see `Layout.mask_source`."""
        if data.mask_encoding != "ids":
            raise ConfigError(
                f"data.mask_encoding={data.mask_encoding}: annotations of labelme have no "
                "colours; leave it out"
            )
        numbers = {name: number for number, name in enumerate(class_names)}
        wanted = {"background": self.background}
        wanted |= {f"labels.{label}": name for label, name in self.labels.items()}
        for key, name in wanted.items():
            if name not in (None, IGNORE) and name not in numbers:
                raise ConfigError(
                    f"data.dataset.{key}={name!r}: no such class in data.class_names "
                    f"{list(class_names)}; add it, or name another one"
                )
        own = {label: numbers.get(name, IGNORE_INDEX) for label, name in self.labels.items()}
        return LabelmeMasks(
            numbers={**numbers, **own},
            background=IGNORE_INDEX if self.background is None else numbers[self.background],
        )
