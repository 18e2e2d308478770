"""Start sets: rankings that need no model, the same for every strategy."""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from ray_al.core.seeding import uniform_of
from ray_al.core.types import START_CYCLE
from ray_al.select.topk import KEY_SCHEMA, merge_topk

IMAGES_PER_PART = 4096

Draw = Callable[[int, str, int, np.ndarray], np.ndarray]


def random_start(manifest: pa.Table, regions: Any, *, k: int, seed: int, remaining: np.ndarray) -> pa.Table:
    """A random ranking of `k` regions of the pool, drawn from the seed and the regions' names: the same for every strategy.

    Returns:
        SCORE_SCHEMA with `key` and `reason`, best first.
    """
    return _ranking(manifest, regions, _at_random, k=k, seed=seed, remaining=remaining, reason="random start")


def equal_per_image(manifest: pa.Table, regions: Any, *, k: int, seed: int, remaining: np.ndarray) -> pa.Table:
    """A random ranking in which every image gives a first region, in random order of the images, then every image a second, and so on.

    Returns:
        SCORE_SCHEMA with `key` and `reason`, best first; the key of round r lies in (-r, 1 - r).
    """
    return _ranking(manifest, regions, _in_rounds, k=k, seed=seed, remaining=remaining, reason="equal per image")


def _at_random(seed: int, image_id: str, count: int, rest: np.ndarray) -> np.ndarray:
    drawn: np.ndarray = uniform_of(seed, START_CYCLE, image_id, count)[rest]
    return drawn


def _in_rounds(seed: int, image_id: str, count: int, rest: np.ndarray) -> np.ndarray:
    # The order within the image and that between images are drawn apart: else images with many regions would come first in a round.
    within, between = uniform_of(seed, START_CYCLE, image_id, 2 * count).reshape(2, count)[:, rest]
    rounds: np.ndarray = np.empty(len(rest))
    rounds[np.argsort(-within, kind="stable")] = np.arange(len(rest))
    keys: np.ndarray = between - rounds
    return keys


def _ranking(manifest: pa.Table, regions: Any, draw: Draw, *, k: int, seed: int, remaining: np.ndarray, reason: str) -> pa.Table:
    ranked = merge_topk(_parts(manifest, regions, draw, seed, remaining), k)
    return ranked.append_column("reason", pa.array([reason] * len(ranked), pa.string()))


def _parts(manifest: pa.Table, regions: Any, draw: Draw, seed: int, remaining: np.ndarray) -> Iterator[pa.Table]:
    pixels_of = lru_cache(maxsize=4096)(regions.num_pixels)
    offset = 0
    for start in range(0, len(manifest), IMAGES_PER_PART):
        images = manifest.slice(start, IMAGES_PER_PART)
        counts = images.column("num_regions").to_numpy().astype(np.int64)
        left = remaining[offset : offset + counts.sum()]
        offset += counts.sum()
        yield _part(images, counts, left, pixels_of, draw, seed)


def _part(images: pa.Table, counts: np.ndarray, left: np.ndarray, pixels_of: Callable[[int, int], np.ndarray], draw: Draw, seed: int) -> pa.Table:
    """KEY_SCHEMA of the regions `left`, bool (sum of counts,), of some images."""
    ends = np.cumsum(counts)
    rows = np.flatnonzero(left)
    image_of = np.repeat(np.arange(len(counts)), counts)[rows]
    region = rows - (ends - counts)[image_of]
    rests = np.split(region, np.cumsum(np.bincount(image_of, minlength=len(counts)))[:-1])
    names = zip(*(images.column(name).to_pylist() for name in ("image_id", "height", "width")), counts.tolist(), rests, strict=True)
    drawn = [(draw(seed, name, count, rest), pixels_of(height, width)[rest]) for name, height, width, count, rest in names if len(rest)]
    keys, pixels = (np.concatenate([pair[i] for pair in drawn] or [np.zeros(0)]) for i in range(2))
    taken = images.select(["image_index", "image_id"]).take(pa.array(image_of))
    columns: Iterable[Any] = (region, keys, pixels, keys)
    arrays = [pa.array(column).cast(field.type) for column, field in zip(columns, list(KEY_SCHEMA)[2:], strict=True)]
    return pa.table([*taken.columns, *arrays], schema=KEY_SCHEMA)
