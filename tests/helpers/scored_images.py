"""Images of a sparse region kind, from which offers choose."""

from collections.abc import Sequence

import numpy as np

from ray_al.core.variants import ScoredImage

SIZE = (18, 22)
"""Height and width of an image."""


def scored_image(
    seed: int = 0,
    *,
    limit: int = 6,
    radius: int = 2,
    taken: Sequence[int] | np.ndarray = (),
    size: tuple[int, int] = SIZE,
    classes: np.ndarray | None = None,
) -> ScoredImage:
    """Return an image with random scores, two feature maps and, unless given, three classes.

    Args:
        seed: of the scores and features, and of the image's generator.
        limit: see `ScoredImage`.
        radius: see `ScoredImage`.
        taken: ids of regions that were chosen before.
        size: height and width in pixels.
        classes: int64 of that size.
    """
    drawn = np.random.default_rng(seed)
    height, width = size
    rare = np.zeros(size, dtype=np.int64)
    rare[:, : width // 2] = 1
    rare[:4, :5] = 2
    return ScoredImage(
        scores=drawn.random(size).astype(np.float32),
        taken=np.array(taken, dtype=np.int64),
        radius=radius,
        limit=limit,
        rng=np.random.default_rng(seed + 1),
        classes=rare if classes is None else classes,
        features=(
            drawn.normal(size=(3, 9, 11)).astype(np.float32),
            100 * drawn.normal(size=(5, 4, 5)).astype(np.float32),
        ),
    )


def distance(one: int, other: int, width: int = SIZE[1]) -> int:
    """Return the Chebyshev distance of two regions, given by their ids."""
    return max(abs(one // width - other // width), abs(one % width - other % width))
