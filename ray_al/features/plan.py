"""What of a pool's features is stored."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StorePlan:
    """The views that are stored, of the first `num_shards` shards.

    Attributes:
        num_images: in these shards.
        num_bytes: of all of it, as records count.
    """

    views: tuple[int, ...]
    num_shards: int
    num_images: int
    num_bytes: int


def plan_store(
    *,
    limit_bytes: int,
    num_images: int,
    shard_size: int,
    record_bytes: int,
    needed: Sequence[int],
    trained: Sequence[int],
) -> StorePlan:
    """All views where all of them fit, else those that every pass over the pool reads, of as many shards as fit.

    Training reads other views too, but of the labelled images alone, which are few where a pool is
    large.

    Args:
        limit_bytes: at most so much is stored.
        num_images: of the pool.
        shard_size: images of a shard.
        record_bytes: of one view of one image.
        needed: views that scoring reads.
        trained: views that training reads.
    """
    every = tuple(sorted({*needed, *trained}))
    if len(every) * num_images * record_bytes <= limit_bytes:
        views, stored = every, num_images
    else:
        views = tuple(sorted(needed))
        whole = min(num_images, limit_bytes // (len(views) * record_bytes))
        stored = num_images if whole == num_images else whole // shard_size * shard_size
    return StorePlan(
        views=views,
        num_shards=-(-stored // shard_size),
        num_images=stored,
        num_bytes=len(views) * stored * record_bytes,
    )
