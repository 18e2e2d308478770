"""The order in which training visits the labelled images."""

import numpy as np

from ray_al.core.seeding import generator


def batch_indices(
    indices: list[int], seed: int, cycle: int, step: int, batch_size: int
) -> list[int]:
    """Return the images of the global batch of a step.

    A batch is always full: if an epoch ends within it, it continues with the next shuffled epoch.

    Args:
        indices: numbers of all training images.
        seed: seed of the run.
        cycle: number of the cycle.
        step: number of the step.
        batch_size: number of images in the global batch.

    Returns:
        `batch_size` members of `indices`; worker r of w trains on the positions r, r + w, …
    """
    orders: dict[int, np.ndarray] = {}
    batch: list[int] = []
    for position in range(step * batch_size, (step + 1) * batch_size):
        epoch, place = divmod(position, len(indices))
        if epoch not in orders:
            orders[epoch] = generator("order", seed, cycle, epoch).permutation(len(indices))
        batch.append(indices[orders[epoch][place]])
    return batch
