"""Full batches of a shard's images: read ahead by threads, worked on by others."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import torch

from ray_al.core.errors import DataError
from ray_al.score.inputs import Inputs
from ray_al.score.readers import HasRow, Reader

Image = TypeVar("Image", bound=HasRow)
Result = TypeVar("Result")

AHEAD = 3
"""Batches a lane that are read, computed or not yet taken."""


class _Awaited(NamedTuple):
    """An image and where what was read of it will be."""

    image: Any
    group: Future[list[Any]]
    position: int


def map_batches(
    images: Sequence[Image],
    reader: Reader[Any],
    batch_size: int,
    lanes: int,
    work: Callable[[list[Image], Inputs], list[Result]],
) -> Iterator[tuple[list[Result], list[tuple[str, str]]]]:
    """Read and work on batches of images in threads, the next ones being read meanwhile.

    A few batches are in memory at any time. One whose last images are missing or broken is filled
    up, so that a value never depends on how many images came together.

    Args:
        images: of a shard.
        reader: of the images.
        batch_size: images that a call of `work` gets.
        lanes: calls of `work` at a time, each with one thread of torch's.
        work: from the images that could be read, at least one, and the batch that begins with them
            to a result for each.

    Yields:
        For each batch, in order, its results, and (image_id, error) of its broken images.

    Raises:
        ReadError: an image could not be read just now; what has not begun then does not begin.
    """

    def one(members: Sequence[_Awaited]) -> tuple[list[Result], list[tuple[str, str]]]:
        read: list[Image] = []
        items: list[Any] = []
        broken: list[tuple[str, str]] = []
        for image, group, position in members:
            item = group.result()[position]
            if isinstance(item, DataError):
                broken.append((image.row["image_id"], str(item)))
            else:
                read.append(image)
                items.append(item)
        if not read:
            return [], broken
        return work(read, reader.batch(items + [items[-1]] * (batch_size - len(items)))), broken

    # Lanes keep to their work: threads that took turns at reading and computing would find other
    # cores' caches.
    single: dict[str, Any] = {"initializer": torch.set_num_threads, "initargs": (1,)}
    with (
        ThreadPoolExecutor(reader.threads, **single) as readers,
        ThreadPoolExecutor(lanes, **single) as workers,
    ):
        begun: deque[Future[tuple[list[Result], list[tuple[str, str]]]]] = deque()
        awaited = _read_ahead(images, reader, readers)
        try:
            while members := list(islice(awaited, batch_size)):
                begun.append(workers.submit(one, members))
                if len(begun) > AHEAD * lanes:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            # Where a batch failed, the others are not waited for: a store that does not answer is
            # asked again for a while for each image.
            for executor in (readers, workers):
                executor.shutdown(wait=False, cancel_futures=True)


def _read_ahead(
    images: Sequence[Image], reader: Reader[Any], executor: Executor
) -> Iterator[_Awaited]:
    """The images in order; each group begins to be read when its first image is taken."""
    for start in range(0, len(images), reader.group):
        members = images[start : start + reader.group]
        group = executor.submit(reader.read, members)
        for position, image in enumerate(members):
            yield _Awaited(image, group, position)
