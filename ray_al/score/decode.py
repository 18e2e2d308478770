"""Images for the network: decoded ahead by threads, kept between cycles while they fit."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ray_al.core.config import RunConfig
from ray_al.core.errors import DataError
from ray_al.datasets.cache import ByteCache
from ray_al.datasets.images import read_image, resize_image

_cache: ByteCache | None = None
_cache_lock = threading.Lock()


def batches(images: Sequence[Any], uris: Sequence[str], config: RunConfig, batch_size: int, on_error: Any) -> Iterator[tuple[list[Any], np.ndarray]]:
    """Batches of decoded images, the next ones being decoded while the caller works.

    A short batch is filled up with its last image, so that a value never depends on how many images came together.

    Args:
        images: whatever stands for an image; given back beside its pixels.
        uris: where each lies.
        on_error: told (image, message) of each that cannot be read.

    Yields:
        Up to `batch_size` images, and uint8 (batch_size, H, W, 3) at `data.image_size`.
    """
    members: list[Any] = []
    pixels: list[np.ndarray] = []
    with ThreadPoolExecutor(config.score.threads) as executor:
        decoded = [executor.submit(decode, uri, config) for uri in uris]
        for image, future in zip(images, decoded, strict=True):
            try:
                pixels.append(future.result())
            except DataError as error:
                on_error(image, str(error))
                continue
            members.append(image)
            if len(pixels) == batch_size:
                yield members, np.stack(pixels)
                members, pixels = [], []
    if members:
        yield members, np.stack(pixels + [pixels[-1]] * (batch_size - len(pixels)))


def decode(uri: str, config: RunConfig) -> np.ndarray:
    """uint8 (H, W, 3) at the size of scoring."""
    global _cache
    limit = int(config.data.cache_gb * 2**30)
    key = (uri, config.data.image_size)
    with _cache_lock:
        if _cache is None or _cache.limit_bytes != limit:
            _cache = ByteCache(limit)
        cache = _cache
        image = cache.get(key)
    if image is None:
        image = resize_image(read_image(uri), config.data.image_size)
        with _cache_lock:
            cache.put(key, image)
    return image
