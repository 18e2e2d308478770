"""Images for the network: decoded ahead by threads, kept between cycles while they fit."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np
import torch

from ray_al.core.config import RunConfig
from ray_al.core.errors import DataError
from ray_al.datasets.cache import ByteCache
from ray_al.datasets.images import read_pool_image, resize_image


class HasRow(Protocol):
    """An image of a shard: its row of the manifest."""

    @property
    def row(self) -> Mapping[str, Any]:
        """With `uri`, `image_id`, `height` and `width`."""


Image = TypeVar("Image", bound=HasRow)
Result = TypeVar("Result")

AHEAD = 3
"""Batches a lane that are decoded, computed or not yet taken."""

_cache: ByteCache | None = None
_cache_lock = threading.Lock()


def map_batches(
    images: Sequence[Image], config: RunConfig, batch_size: int, lanes: int, work: Callable[[list[Image], np.ndarray], list[Result]]
) -> Iterator[tuple[list[Result], list[tuple[str, str]]]]:
    """Decode and work on batches of images in threads, the next ones being decoded meanwhile; a few are in memory at any time.

    A batch whose last images are missing or broken is filled up, so that a value never depends on how many images came together.

    Args:
        images: of a shard.
        batch_size: images that a call of `work` gets.
        lanes: calls of `work` at a time, each with one thread of torch's.
        work: from the images that could be read, at least one, and uint8 (batch_size, H, W, 3) at `data.image_size` to a result for each.

    Yields:
        For each batch, in order, its results, and (image_id, error) of its broken images.

    Raises:
        ReadError: an image could not be read just now; what has not begun then does not begin.
    """

    def one(members: Sequence[Image], decoded: Sequence[Future[np.ndarray]]) -> tuple[list[Result], list[tuple[str, str]]]:
        read: list[Image] = []
        pixels: list[np.ndarray] = []
        broken: list[tuple[str, str]] = []
        for image, future in zip(members, decoded, strict=True):
            try:
                pixels.append(future.result())
            except DataError as error:
                broken.append((image.row["image_id"], str(error)))
            else:
                read.append(image)
        return work(read, np.stack(pixels + [pixels[-1]] * (batch_size - len(pixels)))) if read else [], broken

    # Lanes keep to their work: threads that took turns at decoding and computing would find other cores' caches.
    with (
        ThreadPoolExecutor(config.score.threads) as readers,
        ThreadPoolExecutor(lanes, initializer=torch.set_num_threads, initargs=(1,)) as workers,
    ):
        begun: deque[Future[tuple[list[Result], list[tuple[str, str]]]]] = deque()
        try:
            for start in range(0, len(images), batch_size):
                members = images[start : start + batch_size]
                decoded = [readers.submit(decode, image.row, config) for image in members]
                begun.append(workers.submit(one, members, decoded))
                if len(begun) > AHEAD * lanes:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:  # where a batch failed, the others are not waited for: a store that does not answer is asked again for a while for each image
            for executor in (readers, workers):
                executor.shutdown(wait=False, cancel_futures=True)


def decode(row: Mapping[str, Any], config: RunConfig) -> np.ndarray:
    """uint8 (H, W, 3) at the size of scoring, of an image's row of the manifest."""
    global _cache
    limit = int(config.data.cache_gb * 2**30)
    size = (row["height"], row["width"])
    key = (row["uri"], size, config.data.image_size)
    with _cache_lock:
        if _cache is None or _cache.limit_bytes != limit:
            _cache = ByteCache(limit)
        cache = _cache
        image = cache.get(key)
    if image is None:
        image = resize_image(read_pool_image(row["uri"], size), config.data.image_size)
        with _cache_lock:
            cache.put(key, image)
    return image
