"""Lazy scoring: select the images to score again, and estimate how much of the query is missed."""

import math
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from ray_al.core.seeding import seed_of, uniform_of
from ray_al.core.shares import exact
from ray_al.core.strategy import LazyConfig


def last_scores(parts: Iterable[Iterable[pa.Table]], left: np.ndarray) -> np.ndarray:
    """Return the highest score in each image when it was last scored, float32 (num_images,).

    nan marks images that were never scored.

    Args:
        parts: the score parts of each earlier cycle, latest cycle first, without regions chosen
            since. An older cycle is read only while an image that counts has no score.
        left: bool (num_images,), images that count.
    """
    highest = np.full(len(left), np.nan, dtype=np.float32)
    for cycle in parts:
        if not np.isnan(highest[left]).any():
            break
        seen = ~np.isnan(highest)
        for part in cycle:
            images, scores = part.column("image_index").to_numpy(), part.column("score").to_numpy()
            new = ~seen[images]
            np.fmax.at(highest, images[new], scores[new])
    return highest


def pick_images(
    highest: np.ndarray, left: np.ndarray, lazy: LazyConfig, *, seed: int, cycle: int
) -> tuple[np.ndarray, np.ndarray]:
    """Select the images to score, and a check sample of the other images.

    Scored are the images with the highest last scores and all that have none.

    Args:
        highest: float32 (num_images,), see `last_scores`.
        left: bool (num_images,), images with a region that may still be chosen.

    Returns:
        bool (num_images,) each, without overlap.
    """
    unknown = left & np.isnan(highest)
    known = np.flatnonzero(left & ~unknown)
    order = known[np.argsort(-highest[known], kind="stable")]
    picked = unknown.copy()
    picked[order[: math.ceil(exact(lazy.share) * len(known))]] = True
    drawn = uniform_of(seed_of("lazy check", seed, cycle), np.arange(len(left)))
    return picked, left & ~picked & (drawn < lazy.check)


def estimate_recall(
    chosen_images: np.ndarray, picked: np.ndarray, check: np.ndarray, left: np.ndarray
) -> float | None:
    """Estimate the share of a full pass's query that lies in the images that were scored.

    Each region chosen in an image of the check sample represents regions in the images left out, in
    inverse proportion to the size of the sample.

    Args:
        chosen_images: int (k,), the image of each region chosen among those scored.

    Returns:
        The estimate; None without a check sample.
    """
    num_others, num_check = int((left & ~picked).sum()), int(check.sum())
    if num_others == 0:
        return 1.0
    if num_check == 0:
        return None
    missed = int(check[chosen_images].sum()) * (num_others - num_check) / num_check
    return len(chosen_images) / (len(chosen_images) + missed) if len(chosen_images) else 1.0
