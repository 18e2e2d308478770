"""Random changes to training samples. Each is seeded by the position of its sample in the cycle."""

import numpy as np

from ray_al.core.config import AugmentConfig
from ray_al.core.seeding import seed_of
from ray_al.core.types import IGNORE_INDEX
from ray_al.datasets.images import resize_image, resize_mask, resize_regions


def augment(
    image: np.ndarray,
    mask: np.ndarray,
    config: AugmentConfig,
    *,
    seed: int,
    cycle: int,
    step: int,
    position: int,
    regions: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Mirror a sample at random, then scale it and crop or pad it back to its size.

    Seed, cycle, step and position determine every draw, so a sample changes in the same way for any
    number of workers.

    Args:
        image: uint8 (H, W, 3).
        mask: uint8 (H, W) class ids, or int64 (H, W, 2) sets of classes and region numbers.
        config: changes to make.
        seed: seed of the run.
        cycle: number of the cycle.
        step: number of the step in the cycle.
        position: position in the global batch.
        regions: integers (H, W), the region number of each label from 1, 0 without a label. If
            given, every region keeps at least one pixel when the mask is scaled down.

    Returns:
        Image and mask in the shapes and types of the arguments; padded pixels have no label.
    """
    rng = np.random.default_rng(seed_of("augment", seed, cycle, step, position))
    mirrored, share, down, right = rng.random(4)
    if config.mirror and mirrored < 0.5:
        image = image[:, ::-1]
        mask = mask[:, ::-1]
        regions = None if regions is None else regions[:, ::-1]
    if config.scale is not None:
        low, high = config.scale
        height, width = mask.shape[:2]
        factor = low + (high - low) * share
        size = max(1, round(height * factor)), max(1, round(width * factor))
        image = resize_image(np.ascontiguousarray(image), size)
        mask = np.ascontiguousarray(mask)
        mask = (
            resize_mask(mask, size) if regions is None else resize_regions(mask, size, regions)[0]
        )
        image = _fit(image, (height, width), down, right, fill=0)
        mask = _fit(mask, (height, width), down, right, fill=IGNORE_INDEX if mask.ndim == 2 else 0)
    return np.ascontiguousarray(image), np.ascontiguousarray(mask)


def _fit(
    array: np.ndarray, size: tuple[int, int], down: float, right: float, *, fill: int
) -> np.ndarray:
    """Crop and pad to `size`; `down` and `right` in [0, 1) set the offset of the window."""
    output = np.full((*size, *array.shape[2:]), fill, dtype=array.dtype)
    source: list[slice] = []
    target: list[slice] = []
    for old, new, share in zip(array.shape, size, (down, right), strict=False):
        offset = int((abs(old - new) + 1) * share)
        length = min(old, new)
        source.append(slice(offset, offset + length) if old > new else slice(0, length))
        target.append(slice(0, length) if old > new else slice(offset, offset + length))
    output[tuple(target)] = array[tuple(source)]
    return output
