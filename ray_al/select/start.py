"""Rank the pool for a start set without a model, alike for every strategy."""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial

import numpy as np
import pyarrow as pa

from ray_al.core.families.regions import Regions
from ray_al.core.seeding import keys_of, uniform_of
from ray_al.select.merge import KEY_SCHEMA, merge_topk

IMAGES_PER_PART = 4096

Draw = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(uint64 keys of the rows' streams, ascending positions of their images, regions) -> keys of the
ranking, float64 (rows,).
"""
KeysOf = Callable[[list[str]], np.ndarray]
Allows = Callable[[pa.Table], np.ndarray]


def random_start(
    manifest: pa.Table,
    regions: Regions,
    *,
    k: int,
    seed: int,
    cycle: int,
    remaining: np.ndarray,
    allows: Allows | None = None,
) -> pa.Table:
    """Return a random ranking of `k` regions of the pool.

    It follows from seed, cycle, image and region, and so is the same for every strategy.

    Args:
        cycle: START_CYCLE, or SEED_CYCLE for the part of a start set that trains the model which
            chooses the rest.
        remaining: bool (regions of the pool,), those that may still be chosen.
        allows: rows -> bool (rows,), which of them are ranked; default: all.

    Returns:
        SCORE_SCHEMA with `key` and `reason`, best first.
    """
    keys_at = partial(keys_of, "start set", seed, cycle)
    return _ranking(
        _parts(manifest, regions, _at_random, keys_at, remaining), k, allows, reason="random start"
    )


def equal_per_image(
    manifest: pa.Table,
    regions: Regions,
    *,
    k: int,
    seed: int,
    cycle: int,
    remaining: np.ndarray,
    allows: Allows | None = None,
) -> pa.Table:
    """Return a random ranking with a first region of every image, then a second, and so on.

    The order of the images is random in each round.

    Returns:
        SCORE_SCHEMA with `key` and `reason`, best first; the key of round r lies in (-r, 1 - r).
    """
    keys_at = partial(keys_of, "equal per image", seed, cycle)
    return _ranking(
        _parts(manifest, regions, _in_rounds, keys_at, remaining),
        k,
        allows,
        reason="equal per image",
    )


def _at_random(keys: np.ndarray, image_of: np.ndarray, region: np.ndarray) -> np.ndarray:
    return uniform_of(keys, region)


def _in_rounds(keys: np.ndarray, image_of: np.ndarray, region: np.ndarray) -> np.ndarray:
    # The orders within and between images are drawn separately: with one draw for both, images
    # with many regions would come first in a round.
    within, between = uniform_of(keys, 2 * region), uniform_of(keys, 2 * region + 1)
    rounds: np.ndarray = np.empty(len(region))
    rounds[np.lexsort((-within, image_of))] = np.arange(len(region)) - np.searchsorted(
        image_of, image_of
    )
    ranking: np.ndarray = between - rounds
    return ranking


def _ranking(parts: Iterable[pa.Table], k: int, allows: Allows | None, *, reason: str) -> pa.Table:
    ranked = merge_topk(
        parts if allows is None else (part.filter(pa.array(allows(part))) for part in parts), k
    )
    return ranked.append_column("reason", pa.array([reason] * len(ranked), pa.string()))


def _parts(
    manifest: pa.Table, regions: Regions, draw: Draw, keys_at: KeysOf, remaining: np.ndarray
) -> Iterator[pa.Table]:
    pixels_of = lru_cache(maxsize=4096)(
        lambda height, width: regions.of_image(height, width).num_pixels
    )
    offset = 0
    for start in range(0, len(manifest), IMAGES_PER_PART):
        images = manifest.slice(start, IMAGES_PER_PART)
        counts = images.column("num_regions").to_numpy().astype(np.int64)
        left = remaining[offset : offset + counts.sum()]
        offset += counts.sum()
        yield _part(images, counts, left, pixels_of, draw, keys_at)


def _part(
    images: pa.Table,
    counts: np.ndarray,
    left: np.ndarray,
    pixels_of: Callable[[int, int], np.ndarray],
    draw: Draw,
    keys_at: KeysOf,
) -> pa.Table:
    """Return KEY_SCHEMA of the regions `left`, bool (sum of counts,), of some images."""
    rows = np.flatnonzero(left)
    image_of = np.repeat(np.arange(len(counts)), counts)[rows]
    region = rows - (np.cumsum(counts) - counts)[image_of]
    sizes = zip(
        images.column("height").to_pylist(), images.column("width").to_pylist(), counts, strict=True
    )
    pixels = np.concatenate(
        [
            np.zeros(0, dtype=np.int64),
            *(pixels_of(height, width) for height, width, count in sizes if count),
        ]
    )[rows]
    keys = draw(keys_at(images.column("image_id").to_pylist())[image_of], image_of, region)
    taken = images.select(["image_index", "image_id"]).take(pa.array(image_of))
    columns = (region, keys, pixels, keys)
    arrays = [
        pa.array(column).cast(field.type)
        for column, field in zip(columns, list(KEY_SCHEMA)[2:], strict=True)
    ]
    return pa.table([*taken.columns, *arrays], schema=KEY_SCHEMA)
