"""Make full batches of the images of a shard: some threads read ahead, others compute."""

import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

import torch

from ray_al.core.errors import DataError
from ray_al.scoring.inputs import Inputs
from ray_al.scoring.readers import HasRow, Item, Reader

Image = TypeVar("Image", bound=HasRow)
Result = TypeVar("Result")

AHEAD = 3
"""Batches per worker thread that are read, computed or waiting to be taken."""


class _Awaited(NamedTuple, Generic[Image, Item]):
    """An image, and the future that will hold it once it is read."""

    image: Image
    group: Future[list[Item | DataError]]
    position: int


def map_batches(
    images: Sequence[Image],
    reader: Reader[Item],
    batch_size: int,
    worker_threads: int,
    work: Callable[[list[Image], Inputs], list[Result]],
) -> Iterator[tuple[list[Result], list[tuple[str, str]]]]:
    """Read and process batches of images in threads; the next batches are read meanwhile.

    Only a few batches are in memory at a time. A batch whose last images are missing or broken is
    padded, so a value never depends on how many images came together.

    Args:
        images: of a shard.
        reader: of the images.
        batch_size: number of images per call of `work`.
        worker_threads: number of concurrent calls of `work`, each with one thread of torch.
        work: takes the images that could be read, at least one, and the batch that begins with
            them; returns one result per image.

    Yields:
        The results of each batch, in order, and (image_id, error) of its broken images.

    Raises:
        ReadError: an image cannot be read at the moment. Work that has not begun then does not
            begin.
    """

    def work_on(
        members: Sequence[_Awaited[Image, Item]],
    ) -> tuple[list[Result], list[tuple[str, str]]]:
        read: list[Image] = []
        items: list[Item] = []
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

    # Reading and computing have threads of their own: a thread that alternated between the two
    # would keep losing its caches.
    workers = _executor_of(worker_threads)
    with _single_threaded(reader.threads) as readers:
        running: deque[Future[tuple[list[Result], list[tuple[str, str]]]]] = deque()
        awaited = _read_ahead(images, reader, readers)
        try:
            while members := list(islice(awaited, batch_size)):
                running.append(workers.submit(work_on, members))
                if len(running) > AHEAD * worker_threads:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            # If a batch failed, the others are not waited for: a store that does not answer is
            # asked again for a while, image by image.
            readers.shutdown(wait=False, cancel_futures=True)
            for future in running:
                future.cancel()


@functools.cache
def _executor_of(count: int) -> ThreadPoolExecutor:
    """Return the threads that compute, which a process keeps for all its shards.

    cuDNN keeps its plans of convolutions per thread: new threads for each shard spent more time on
    planning than on computing.
    """
    return _single_threaded(count)


def _single_threaded(count: int) -> ThreadPoolExecutor:
    """Return `count` threads, each of which computes with one thread of torch."""
    return ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))


def _read_ahead(
    images: Sequence[Image], reader: Reader[Item], executor: Executor
) -> Iterator[_Awaited[Image, Item]]:
    """Yield the images in order; each group is submitted when its first image is taken."""
    for start in range(0, len(images), reader.group):
        members = images[start : start + reader.group]
        group = executor.submit(reader.read, members)
        for position, image in enumerate(members):
            yield _Awaited(image, group, position)
