"""From any map of ids to connected regions without crumbs."""

import heapq

import numpy as np
from scipy.ndimage import label


def connect(labels_HW: np.ndarray, min_pixels: float) -> np.ndarray:
    """Split ids into their 4-connected pieces, and merge pieces below `min_pixels` into neighbours.

    The smallest piece goes first, ties to the one that begins first in reading order, into the neighbour with the longest common border,
    ties again to the first. What it joins may itself be a crumb, and is then merged in its turn.

    Returns:
        int32 (H, W): ids 0 to R - 1 in the order of their first pixels, each 4-connected and, where R > 1, of at least `min_pixels`.
    """
    pieces_HW = in_reading_order(_pieces(labels_HW))
    return in_reading_order(_merge_crumbs(pieces_HW, min_pixels)[pieces_HW])


def in_reading_order(labels_HW: np.ndarray) -> np.ndarray:
    """int32 (H, W): the ids, numbered from 0 without gaps in the order of their first pixels."""
    flat = labels_HW.ravel()
    first = np.full(int(flat.max()) + 1, flat.size, dtype=np.int64)
    first[flat[::-1]] = np.arange(
        flat.size - 1, -1, -1
    )  # of equal indices the last assignment stands
    number = np.empty(len(first), dtype=np.int32)
    number[np.argsort(first, kind="stable")] = np.arange(len(first), dtype=np.int32)
    return number[labels_HW]


def _pieces(labels_HW: np.ndarray) -> np.ndarray:
    """Ids of the 4-connected pieces: pixels lie at even places of a grid twice as fine, the links between equal ones at odd places."""
    height, width = labels_HW.shape
    links = np.zeros((2 * height - 1, 2 * width - 1), dtype=bool)
    links[::2, ::2] = True
    links[1::2, ::2] = labels_HW[1:] == labels_HW[:-1]
    links[::2, 1::2] = labels_HW[:, 1:] == labels_HW[:, :-1]
    pieces, _ = label(links)
    return pieces[::2, ::2] - 1


def _merge_crumbs(pieces_HW: np.ndarray, min_pixels: float) -> np.ndarray:
    """int64 (pieces,): the piece that each ends up in."""
    sizes = np.bincount(pieces_HW.ravel()).tolist()
    borders = _borders(pieces_HW, len(sizes))
    owner = np.arange(len(sizes))
    queue = [(size, piece) for piece, size in enumerate(sizes) if size < min_pixels]
    heapq.heapify(queue)
    while queue:
        size, piece = heapq.heappop(queue)
        if size != sizes[piece] or not borders[piece]:
            continue  # it has grown since, or is the whole image
        target = min(borders[piece], key=lambda other: (-borders[piece][other], other))
        for other, length in borders[piece].items():
            del borders[other][piece]
            if other != target:
                borders[target][other] = borders[other][target] = (
                    borders[target].get(other, 0) + length
                )
        owner[piece] = target
        sizes[target] += size
        sizes[piece] = 0
        if sizes[target] < min_pixels:
            heapq.heappush(queue, (sizes[target], target))
    while (owner != owner[owner]).any():
        owner = owner[owner]
    return owner


def _borders(pieces_HW: np.ndarray, num_pieces: int) -> list[dict[int, int]]:
    """Of each piece, its neighbours and the length of their common border in pixel sides."""
    one = np.concatenate([pieces_HW[1:].ravel(), pieces_HW[:, 1:].ravel()]).astype(np.int64)
    other = np.concatenate([pieces_HW[:-1].ravel(), pieces_HW[:, :-1].ravel()]).astype(np.int64)
    pairs = (one * num_pieces + other)[one != other]
    borders: list[dict[int, int]] = [{} for _ in range(num_pieces)]
    for pair, length in zip(
        *(values.tolist() for values in np.unique(pairs, return_counts=True)), strict=True
    ):
        low, high = divmod(pair, num_pieces)
        borders[low][high] = borders[high][low] = borders[low].get(high, 0) + length
    return borders
