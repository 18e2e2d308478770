"""From any map of ids to connected regions of a minimum size."""

import heapq

import numpy as np
from scipy.ndimage import label

Borders = list[dict[int, int]]
"""For each piece, its neighbours with the length of their common border in pixel sides."""


def connect(ids_HW: np.ndarray, min_pixels: float) -> np.ndarray:
    """Split ids into their 4-connected pieces, and merge small pieces into neighbours.

    The smallest piece is merged first, into the neighbour with the longest common border; ties go
    to the piece that begins first in reading order. If the merged piece is still too small, it is
    merged again in its turn.

    Args:
        ids_HW: int (H, W), ids from 0.
        min_pixels: pieces with fewer pixels are merged.

    Returns:
        int32 (H, W): ids 0 to R - 1 in the order of their first pixels. Each region is 4-connected
        and has at least `min_pixels` pixels, unless it is the whole image.
    """
    pieces_HW = in_reading_order(_pieces(ids_HW))
    return in_reading_order(_merge_small(pieces_HW, min_pixels)[pieces_HW])


def in_reading_order(ids_HW: np.ndarray) -> np.ndarray:
    """Return the ids, int32 (H, W), renumbered from 0 in the order of their first pixels."""
    flat = ids_HW.ravel()
    first = np.full(int(flat.max()) + 1, flat.size, dtype=np.int64)
    # Of several assignments to one index, the last one counts: that of the first pixel.
    first[flat[::-1]] = np.arange(flat.size - 1, -1, -1)
    number = np.empty(len(first), dtype=np.int32)
    number[np.argsort(first, kind="stable")] = np.arange(len(first), dtype=np.int32)
    ordered: np.ndarray = number[ids_HW]
    return ordered


def _pieces(ids_HW: np.ndarray) -> np.ndarray:
    """Return ids, int (H, W), of the 4-connected pieces.

    They are components of a grid twice as fine: pixels are at its even places, and links between
    equal neighbours at its odd places.
    """
    height, width = ids_HW.shape
    links = np.zeros((2 * height - 1, 2 * width - 1), dtype=bool)
    links[::2, ::2] = True
    links[1::2, ::2] = ids_HW[1:] == ids_HW[:-1]
    links[::2, 1::2] = ids_HW[:, 1:] == ids_HW[:, :-1]
    pieces, _ = label(links)
    numbered: np.ndarray = pieces[::2, ::2] - 1
    return numbered


def _merge_small(pieces_HW: np.ndarray, min_pixels: float) -> np.ndarray:
    """Return int64 (pieces,), the piece into which each piece is merged in the end."""
    sizes = np.bincount(pieces_HW.ravel()).tolist()
    borders = _borders(pieces_HW, len(sizes))
    owner = np.arange(len(sizes))
    queue = [(size, piece) for piece, size in enumerate(sizes) if size < min_pixels]
    heapq.heapify(queue)
    while queue:
        size, piece = heapq.heappop(queue)
        if size != sizes[piece] or not borders[piece]:
            continue  # the piece has grown since, or is the whole image
        target = _join_longest_border(borders, piece)
        owner[piece] = target
        sizes[target] += size
        sizes[piece] = 0
        if sizes[target] < min_pixels:
            heapq.heappush(queue, (sizes[target], target))
    while (owner != owner[owner]).any():
        owner = owner[owner]
    return owner


def _join_longest_border(borders: Borders, piece: int) -> int:
    """Merge a piece's borders into those of its closest neighbour, in place, and return that."""
    target = min(borders[piece], key=lambda other: (-borders[piece][other], other))
    for other, length in borders[piece].items():
        del borders[other][piece]
        if other != target:
            total = borders[target].get(other, 0) + length
            borders[target][other] = borders[other][target] = total
    return target


def _borders(pieces_HW: np.ndarray, num_pieces: int) -> Borders:
    """Return the borders of all pieces."""
    after = np.concatenate([pieces_HW[1:].ravel(), pieces_HW[:, 1:].ravel()]).astype(np.int64)
    before = np.concatenate([pieces_HW[:-1].ravel(), pieces_HW[:, :-1].ravel()]).astype(np.int64)
    pairs = (after * num_pieces + before)[after != before]
    borders: Borders = [{} for _ in range(num_pieces)]
    numbers, lengths = np.unique(pairs, return_counts=True)
    for pair, length in zip(numbers.tolist(), lengths.tolist(), strict=True):
        low, high = divmod(pair, num_pieces)
        borders[low][high] = borders[high][low] = borders[low].get(high, 0) + length
    return borders
