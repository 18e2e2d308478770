"""The pool's manifest: it gives each image a number that never changes."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from ray_al.core.errors import DataError
from ray_al.core.types import MANIFEST_SCHEMA, ImageFile
from ray_al.datasets.images import read_image_size


def build_manifest(
    images: Sequence[ImageFile], num_regions: Callable[[int, int], int], *, threads: int = 8
) -> tuple[pa.Table, list[tuple[str, str]]]:
    """Read the headers of the pool.

    Returns:
        The manifest, and (image_id, error) of the unreadable ones, which have no regions.
    """
    with ThreadPoolExecutor(threads) as executor:
        sizes = list(executor.map(_size_or_error, images))
    rows, errors = [], []
    for index, (image, size) in enumerate(zip(images, sizes, strict=True)):
        if isinstance(size, str):
            errors.append((image.image_id, size))
            size = (0, 0)
        rows.append(
            {
                "image_index": index, "image_id": image.image_id, "uri": image.uri, "mask_uri": image.mask_uri,
                "height": size[0], "width": size[1], "num_regions": num_regions(*size) if size[0] else 0,
            }
        )  # fmt: skip
    return pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA), errors


def _size_or_error(image: ImageFile) -> tuple[int, int] | str:
    try:
        return read_image_size(image.uri)
    except DataError as error:
        return str(error)
