"""Where training and scoring get the features of images: from memory, from the store, or from the backbone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ray_al.core.config import RunConfig
from ray_al.datasets import Dataset
from ray_al.datasets.cache import ByteCache
from ray_al.datasets.images import read_image, read_pool_image, resize_image
from ray_al.features.embed import Embedder, load_embedder
from ray_al.features.geometry import ViewDraw
from ray_al.features.layout import MapLayout

Row = Mapping[str, Any]
"""An image: `image_id` and `uri`, and of the pool's also `image_index`, `height`, `width`."""


class FeatureSource:
    """Records of the images of one split.

    View 0 is the image itself, view n the n-th of `features.views`.

    Args:
        config: of the run; its model is frozen.
        run_uri: the run directory.
        split: `pool`, or a split of the data set.
        rows: all images of the split, in the order of their numbers.
        device: where to compute what is not stored.
    """

    def __init__(
        self,
        config: RunConfig,
        run_uri: str,
        split: str,
        rows: Sequence[Row],
        device: str = "cpu",
    ) -> None:
        self.config, self.run_uri, self.split, self.rows, self.device = config, run_uri, split, rows, device
        self._cache = ByteCache(int(config.data.cache_gb * 2**30))

    @property
    def layout(self) -> MapLayout:
        """How maps lie in a record."""
        return self._embedder.layout

    @property
    def num_views(self) -> int:
        """Views of an image, the image itself among them."""
        return 1 + len(self.config.features.views)

    @property
    def mirror_view(self) -> int | None:
        """The number of the view that is the mirrored image; None where no view is."""
        mirrored = ViewDraw(size=self.config.data.image_size, mirror=True)
        views = enumerate(self.config.features.views, start=1)
        return next((n for n, view in views if view.draw("", mirrored.size) == mirrored), None)

    def draw(self, number: int, view: int) -> ViewDraw:
        """How view `view` of image `number` was made."""
        size = self.config.data.image_size
        if view == 0:
            return ViewDraw(size=size)
        drawn: ViewDraw = self.config.features.views[view - 1].draw(f"{view}/{self.rows[number]['image_id']}", size)
        return drawn

    def records(self, numbers: Sequence[int], view: int) -> np.ndarray:
        """uint16 (N, num_values) of view `view` of images by their numbers.

        Raises:
            DataError: an image cannot be used.
            ReadError: it could not be read just now.
        """
        found = {number: self._cache.get((number, view)) for number in numbers}
        missing = [number for number, record in found.items() if record is None]
        computed = self._embedder.records([self._image(number, view) for number in missing])
        for number, record in zip(missing, computed, strict=True):
            self._cache.put((number, view), record)
            found[number] = record
        return np.stack([record for number in numbers if (record := found[number]) is not None])

    @property
    def _embedder(self) -> Embedder:
        return load_embedder(self.config.model_dump_json(), self.device)

    def _image(self, number: int, view: int) -> np.ndarray:
        row = self.rows[number]
        read = read_pool_image(row["uri"], (row["height"], row["width"])) if "height" in row else read_image(row["uri"])
        return self.draw(number, view).apply(resize_image(read, self.config.data.image_size))


def pool_source(config: RunConfig, run_uri: str, manifest: pa.Table, device: str = "cpu") -> FeatureSource:
    """Of the pool; numbers are those of the manifest, whose places are whole (`absolute_places`)."""
    columns = ["image_index", "image_id", "uri", "height", "width"]
    return FeatureSource(config, run_uri, "pool", manifest.select(columns).to_pylist(), device)


def split_source(config: RunConfig, run_uri: str, dataset: Dataset, split: str, device: str = "cpu") -> FeatureSource:
    """Of another split of the data set; numbers are positions in `dataset.splits[split]`."""
    rows = [{"image_id": file.image_id, "uri": file.uri} for file in dataset.splits[split]]
    return FeatureSource(config, run_uri, split, rows, device)
