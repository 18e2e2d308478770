from typing import Any

import numpy as np
import pytest

from ray_al.core.seeding import generator
from ray_al.regions.connect import connect, in_reading_order


def slow_pieces(labels):
    """4-connected pieces by flood fill, numbered in reading order."""
    height, width = labels.shape
    pieces = np.full(labels.shape, -1)
    number = 0
    for start in np.ndindex(height, width):
        if pieces[start] >= 0:
            continue
        stack = [start]
        pieces[start] = number
        while stack:
            y, x = stack.pop()
            for b, a in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if (
                    0 <= b < height
                    and 0 <= a < width
                    and pieces[b, a] < 0
                    and labels[b, a] == labels[y, x]
                ):
                    pieces[b, a] = number
                    stack.append((b, a))
        number += 1
    return pieces


def slow_connect(labels, min_pixels):
    """One merge at a time, everything counted anew."""
    pieces = slow_pieces(labels)
    while True:
        sizes = np.bincount(pieces.ravel(), minlength=1)
        crumbs = sorted((size, piece) for piece, size in enumerate(sizes) if 0 < size < min_pixels)
        if not crumbs or (sizes > 0).sum() == 1:
            return slow_pieces(pieces)
        crumb = crumbs[0][1]
        borders: dict[Any, Any] = {}
        for y, x in zip(*np.nonzero(pieces == crumb), strict=True):
            for b, a in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= b < pieces.shape[0] and 0 <= a < pieces.shape[1] and pieces[b, a] != crumb:
                    borders[pieces[b, a]] = borders.get(pieces[b, a], 0) + 1
        pieces[pieces == crumb] = min(borders, key=lambda other: (-borders[other], other))


@pytest.mark.parametrize("min_pixels", [1, 3, 6.5, 1000])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (3, 7), (12, 17)])
@pytest.mark.parametrize("num_ids", [1, 2, 5])
def test_against_flood_fill_and_merging_one_by_one(size, num_ids, min_pixels):
    labels = generator("labels", size, num_ids).integers(0, num_ids, size)
    assert (connect(labels, min_pixels) == slow_connect(labels, min_pixels)).all()


def test_a_crumb_joins_the_neighbour_with_the_longest_border():
    labels = np.array(
        [[0, 0, 0, 1, 1], [0, 0, 2, 1, 1], [0, 0, 1, 1, 1]]
    )  # the crumb 2 touches 0 on two sides, 1 on two: the first wins
    assert connect(labels, 2).tolist() == [[0, 0, 0, 1, 1], [0, 0, 0, 1, 1], [0, 0, 1, 1, 1]]
    labels[0, 2] = 1
    assert connect(labels, 2).tolist() == [[0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 1, 1, 1]]


def test_corners_do_not_connect():
    assert connect(np.array([[5, 9], [9, 5]]), 1).tolist() == [[0, 1], [2, 3]]


def test_numbers_follow_the_first_pixels():
    assert in_reading_order(np.array([[7, 7, 2], [0, 2, 2]])).tolist() == [[0, 0, 1], [2, 1, 1]]
