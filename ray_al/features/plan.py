"""Deciding which features of a pool are stored."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StorePlan:
    """The part of a pool's features that is stored.

    Attributes:
        views: numbers of the stored views.
        num_shards: number of shards that are stored, counted from the first.
        num_images: number of images in these shards.
        num_bytes: size of all stored records.
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
    """Choose what to store: all views if they fit, else those of scoring, of all shards that fit.

    Scoring reads the whole pool. Training reads only labelled images, which are few if the pool is
    large, so its views are the first to be left out.

    Args:
        limit_bytes: largest size of what is stored.
        num_images: number of images in the pool.
        shard_size: number of images per shard.
        record_bytes: size of the record of one view of one image.
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
