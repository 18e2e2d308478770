"""Synthetic scenes, which are drawn when a run first needs them."""

import os
from typing import TYPE_CHECKING, ClassVar, Literal

from ray_al.core.errors import ConfigError
from ray_al.core.families.layouts import Colors, Layout, Split
from ray_al.core.places import is_folder
from ray_al.datasets import synthetic
from ray_al.datasets.layouts.camvid import list_beside

if TYPE_CHECKING:
    from ray_al.core.config import DataConfig


class SyntheticLayout(Layout):
    """`data.num_images` scenes of `data.seed`, in CamVid's folders."""

    kind: Literal["synthetic"] = "synthetic"
    class_names: ClassVar[tuple[str, ...]] = synthetic.CLASS_NAMES
    colors: ClassVar[Colors] = synthetic.COLORS
    needs_root: ClassVar[bool] = False

    def list_split(self, root: str, split: str) -> Split:
        """Return the images of `<split>/` with their masks in `<split>annot/`."""
        return list_beside(root, split)

    def default_root(self, data: "DataConfig", cache: str) -> str:
        """Return a folder of the cache by the settings that the scenes follow from."""
        return os.path.join(cache, f"synthetic-{data.num_images}-{data.seed}")

    def prepare(self, data: "DataConfig", root: str) -> bool:
        """Draw the scenes unless `root` exists; see `Layout.prepare`."""
        if "://" not in root:
            synthetic.write_synthetic(root, num_images=data.num_images, seed=data.seed)
        elif not is_folder(root):
            raise ConfigError(
                f"data.root: no such folder {root!r}; synthetic scenes are only written to a disk: "
                "give a path there, or leave it out"
            )
        return True
