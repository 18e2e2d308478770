"""The manifest of the pool, which gives each image a number that never changes."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ray_al.core.config import DataConfig
from ray_al.core.errors import DataError
from ray_al.core.types import MANIFEST_SCHEMA, ImageFile
from ray_al.datasets.catalog import Dataset
from ray_al.datasets.images import read_image_size
from ray_al.datasets.listing import place_prefix
from ray_al.datasets.pixels import PLAIN, PixelRule
from ray_al.datasets.tiles import Tiling

PLACES = ("uri", "mask_uri")
THREADS = 8
"""Headers that are read at a time."""


def build_manifest(
    images: Sequence[ImageFile],
    num_regions: Callable[[int, int], int],
    rule: PixelRule = PLAIN,
    *,
    tiling: Tiling | None = None,
    threads: int = THREADS,
) -> tuple[pa.Table, list[tuple[str, str]]]:
    """Read the headers of the pool's images.

    Args:
        images: the pool, in the order of its numbers.
        num_regions: returns how many regions an image of a height and width has.
        rule: what the values of images become, which must cover those of the headers.
        tiling: divides images into tiles, each of which gets a row; None keeps them whole.
        threads: how many headers are read at a time.

    Returns:
        The manifest, and (image_id, error) of the images that cannot be read; they have no regions.
    """
    with ThreadPoolExecutor(threads) as executor:
        sizes = list(executor.map(lambda image: _size_or_error(image, rule), images))
    rows: list[dict[str, Any]] = []
    errors = []
    for image, size in _divided(images, sizes, tiling):
        if isinstance(size, str):
            errors.append((image.image_id, size))
            size = (0, 0)
        rows.append(
            {
                "image_index": len(rows),
                "image_id": image.image_id,
                "uri": image.uri,
                "mask_uri": image.mask_uri,
                "height": size[0],
                "width": size[1],
                "num_regions": num_regions(*size) if size[0] else 0,
            }
        )
    return pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA), errors


def _divided(
    images: Sequence[ImageFile], sizes: Sequence[tuple[int, int] | str], tiling: Tiling | None
) -> Iterator[tuple[ImageFile, tuple[int, int] | str]]:
    """Yield images, or the tiles of those that can be read, each with its size or error."""
    for image, size in zip(images, sizes, strict=True):
        if tiling is None or isinstance(size, str):
            yield image, size
            continue
        for part, tile in tiling.divide(image, size):
            yield part, tile.size


def pool_images(dataset: Dataset, data: DataConfig) -> tuple[ImageFile, ...]:
    """Return what the rows of a manifest of the pool stand for: its images, or their tiles.

    The headers of the images are read if there are tiles; one that cannot be read stays whole.
    """
    images, tiling = dataset.splits["train"], Tiling.of(data)
    if tiling is None:
        return images
    with ThreadPoolExecutor(THREADS) as executor:
        sizes = list(executor.map(lambda image: _size_or_error(image, dataset.pixels), images))
    return tuple(part for part, _ in _divided(images, sizes, tiling))


def with_tiles(dataset: Dataset, data: DataConfig) -> Dataset:
    """Return a data set with tiles in place of the images that models are evaluated on.

    The headers of these images are read. Without tiles, the data set is returned as it is.

    Raises:
        DataError: an image cannot be read.
        ReadError: an image could not be read just now.
    """
    tiling = Tiling.of(data)
    if tiling is None:
        return dataset
    splits = dict(dataset.splits)
    for role in splits.keys() - {"train"}:
        images = splits[role]
        sizes = [read_image_size(image.uri, dataset.pixels) for image in images]
        splits[role] = tuple(part for part, _ in _divided(images, sizes, tiling))
    return replace(dataset, splits=splits)


def _size_or_error(image: ImageFile, rule: PixelRule) -> tuple[int, int] | str:
    try:
        return read_image_size(image.uri, rule)
    except DataError as error:
        return str(error)


def relative_places(manifest: pa.Table, root: str) -> pa.Table:
    """Return the manifest as it is stored: without `root` in its places, so the data can move."""
    prefix = place_prefix(root)
    for name in PLACES:
        column = manifest.column(name)
        shortened = pc.utf8_slice_codeunits(column, len(prefix))
        manifest = _with(
            manifest, name, pc.if_else(pc.starts_with(column, prefix), shortened, column)
        )
    return manifest


def absolute_places(manifest: pa.Table, root: str) -> pa.Table:
    """Return a stored manifest with places that can be opened, below the present `root`.

    Manifests of earlier versions hold whole places, which begin with the root of their time.
    """
    prefix = (root if "://" in root else os.path.abspath(root)).rstrip("/") + "/"
    old = _old_prefix(manifest)
    for name in PLACES:
        column = manifest.column(name)
        inside = pc.starts_with(column, old) if old else pc.invert(_is_whole(column))
        moved = pc.binary_join_element_wise(
            pa.scalar(prefix), pc.utf8_slice_codeunits(column, len(old)), pa.scalar("")
        )
        manifest = _with(manifest, name, pc.if_else(inside, moved, column))
    return manifest


def _old_prefix(manifest: pa.Table) -> str:
    """Return how all places of a manifest of an earlier version begin; "" for a present one.

    The name of an image is its path below this prefix.
    """
    if not len(manifest) or not _is_whole(manifest.column("uri")[:1])[0].as_py():
        return ""
    uri, image_id = (manifest.column(name)[0].as_py() for name in ("uri", "image_id"))
    return str(uri.removesuffix(image_id)) if uri.endswith(f"/{image_id}") else ""


def _is_whole(places: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.or_(pc.starts_with(places, "/"), pc.match_substring(places, "://"))


def _with(manifest: pa.Table, name: str, column: pa.ChunkedArray) -> pa.Table:
    return manifest.set_column(
        manifest.schema.get_field_index(name), manifest.schema.field(name), column.cast(pa.string())
    )


def images_digest(manifest: pa.Table) -> str:
    """Digest the names and sizes of a pool's images, independent of how regions divide them.

    The digest of the manifest's file would not do: it changes with the writer of the file.
    """
    digest = hashlib.sha256()
    for batch in manifest.select(["image_id", "height", "width"]).to_batches():
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            digest.update(repr(row).encode())
    return digest.hexdigest()
