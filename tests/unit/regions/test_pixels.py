from typing import Any

import numpy as np
import pytest
import torch

from ray_al.core.errors import DataError
from ray_al.core.seeding import generator
from ray_al.datasets.images import resize_mask, resize_scattered
from ray_al.regions.pixels import Pixels
from ray_al.regions.sparse import to_native

NONE = np.empty(0, dtype=np.int64)


def best_pixels(scores, height, width, *, n, radius, taken):
    return Pixels(per_image=n, radius=radius).best(scores, height, width, taken=taken)


def slow_best(scores, n, radius, taken):
    """Walk all pixels, best first, and keep those that are far enough from what stands."""
    height, width = scores.shape
    order = sorted(range(height * width), key=lambda i: (-scores.flat[i], i))
    chosen: list[Any] = []
    for i in order:
        apart = all(
            max(abs(i // width - j // width), abs(i % width - j % width)) > radius
            for j in [*taken, *chosen]
        )
        if apart and len(chosen) < n:
            chosen.append(i)
    return chosen


@pytest.mark.parametrize("radius", [0, 1, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 8), (3, 7), (11, 13)])
@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_against_a_slow_greedy_choice(size, radius, levels):
    rng = generator(size, radius, levels)
    scores = rng.integers(0, levels, size).astype(np.float32)  # few levels: many ties
    taken = rng.choice(scores.size, scores.size // 9, replace=False)
    ids, values = best_pixels(scores, *size, n=6, radius=radius, taken=taken)
    assert ids.tolist() == slow_best(scores, 6, radius, taken.tolist())
    assert (values == scores.flat[ids]).all()


def test_by_hand():
    scores = np.array([[1, 9, 8], [0, 7, 7], [3, 2, 6]], dtype=np.float32)
    ids, values = best_pixels(scores, 3, 3, n=2, radius=0, taken=NONE)
    assert (ids.tolist(), values.tolist()) == ([1, 2], [9.0, 8.0])
    assert best_pixels(scores, 3, 3, n=9, radius=1, taken=NONE)[0].tolist() == [1, 8, 6]
    assert best_pixels(scores, 3, 3, n=9, radius=0, taken=np.array([1, 2]))[0].tolist() == [
        4,
        5,
        8,
        6,
        7,
        0,
        3,
    ]


def test_an_even_map_gives_pixels_in_reading_order():
    ids, _ = best_pixels(np.ones((5, 5)), 5, 5, n=9, radius=1, taken=NONE)
    assert ids.tolist() == [0, 2, 4, 10, 12, 14, 20, 22, 24]


def test_an_image_without_room_gives_none():
    ids, scores = best_pixels(np.ones((3, 3)), 3, 3, n=4, radius=1, taken=np.array([4]))
    assert (ids.tolist(), scores.tolist()) == ([], [])
    assert (ids.dtype, scores.dtype) == (np.int64, np.float32)


def test_the_order_of_taken_does_not_matter_and_scores_are_left_alone():
    scores = generator("order").random((20, 30))
    before = scores.copy()
    one = best_pixels(scores, 20, 30, n=8, radius=2, taken=np.array([3, 99, 411]))
    other = best_pixels(scores, 20, 30, n=8, radius=2, taken=np.array([411, 3, 99]))
    assert (one[0] == other[0]).all()
    assert (scores == before).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_are_refused(value):
    scores = np.ones((3, 4))
    scores[1, 2] = value
    with pytest.raises(DataError, match="1 of 12 pixel scores"):
        best_pixels(scores, 3, 4, n=1, radius=0, taken=NONE)


@pytest.mark.parametrize(
    "cells, size",
    [((1, 1), (3, 5)), ((3, 5), (3, 5)), ((3, 4), (12, 16)), ((5, 7), (11, 30)), ((9, 9), (4, 5))],
)
def test_coarse_scores_are_brought_to_native_pixels_as_torch_does(cells, size):
    scores = generator(cells, size).random(cells, dtype=np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(scores)[None, None], size=size, mode="bilinear", align_corners=False
    )[0, 0]
    assert np.abs(to_native(scores, *size) - expected.numpy()).max() < 1e-6


def test_the_best_pixel_of_a_coarse_map_lies_in_its_best_cell():
    scores = np.zeros((6, 8), dtype=np.float32)
    scores[2, 5] = 1
    ids, _ = best_pixels(scores, 24, 32, n=1, radius=5, taken=NONE)
    y, x = divmod(int(ids[0]), 32)
    assert (y // 4, x // 4) == (2, 5)


def test_single_labelled_pixels_survive_a_smaller_size():
    rng = np.random.default_rng(0)
    mask = np.full((36, 48), 255, np.uint8)
    labelled = rng.random(mask.shape) < 0.02
    mask[labelled] = rng.integers(0, 5, labelled.sum())
    small = resize_scattered(mask, (12, 16), labelled)
    cells = labelled.reshape(12, 3, 16, 3).any((1, 3))
    assert ((small != 255) == cells).all() and cells.sum() > 20
    blocks = mask.reshape(12, 3, 16, 3).transpose(0, 2, 1, 3).reshape(12, 16, 9)
    assert (blocks == small[..., None]).any(-1).all()
    bits = np.stack(
        [np.where(labelled, 1 << mask.astype(np.int64) % 63, 0), np.zeros(mask.shape, np.int64)],
        axis=-1,
    )
    assert ((resize_scattered(bits, (12, 16), labelled)[..., 0] != 0) == cells).all()


def test_where_all_is_labelled_the_nearest_label_counts():
    mask = np.random.default_rng(0).integers(0, 5, (30, 41)).astype(np.uint8)
    for size in ((12, 16), (30, 41), (60, 90)):
        assert (
            resize_scattered(mask, size, np.ones(mask.shape, bool)) == resize_mask(mask, size)
        ).all()
