"""Pooling into regions against a slow reference.

The reference cuts the image into pieces so small that each lies in one pixel and in one cell of the
map, and looks at every piece.
"""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ray_al.scoring.pooling import BoxPooler, RegionMapPooler

FEW = settings(max_examples=30, deadline=None, derandomize=True)
sides = st.integers(1, 7)


@st.composite
def partitions(draw: st.DrawFn) -> np.ndarray:
    """A region map, int32 (H, W), whose regions are numbered from 0 without gaps."""
    height, width = draw(sides), draw(sides)
    ids = draw(st.lists(st.integers(0, 4), min_size=height * width, max_size=height * width))
    return np.unique(ids, return_inverse=True)[1].reshape(height, width).astype(np.int32)


@st.composite
def boxes_in(draw: st.DrawFn, height: int, width: int) -> np.ndarray:
    """One to four boxes, int (R, 4), which may overlap."""
    boxes = []
    for _ in range(draw(st.integers(1, 4))):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        bottom = draw(st.integers(top + 1, height))
        boxes.append([top, left, bottom, draw(st.integers(left + 1, width))])
    return np.array(boxes)


def values_of(draw, channels: int) -> torch.Tensor:
    """Maps (C, h, w) of whole numbers, at a size of their own."""
    shape = channels, draw(sides), draw(sides)
    count = int(np.prod(shape))
    numbers = draw(st.lists(st.integers(-8, 8), min_size=count, max_size=count))
    return torch.tensor(numbers, dtype=torch.float32).reshape(shape)


def pieces(array: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Repeat each element of the last two axes `rows` x `columns` times."""
    return array.repeat(rows, axis=-2).repeat(columns, axis=-1)


def slow_pieces(mask: np.ndarray, values: torch.Tensor) -> np.ndarray:
    """The values of all pieces in a region, (C, pieces); `mask` is bool (H, W)."""
    inside = pieces(mask, *values.shape[-2:])
    return pieces(values.numpy(), *mask.shape)[:, inside]


def masks_of(boxes: np.ndarray, height: int, width: int) -> list[np.ndarray]:
    masks = []
    for top, left, bottom, right in boxes:
        mask = np.zeros((height, width), dtype=bool)
        mask[top:bottom, left:right] = True
        masks.append(mask)
    return masks


def check(pooler, masks: list[np.ndarray], values: torch.Tensor) -> None:
    found = [slow_pieces(mask, values) for mask in masks]
    assert pooler.num_pixels.tolist() == [mask.sum() for mask in masks]
    means = [region.mean(axis=1, dtype=np.float64) for region in found]
    np.testing.assert_allclose(pooler.mean(values), means, rtol=1e-5, atol=1e-5)
    assert pooler.max(values[0]).tolist() == [region[0].max() for region in found]
    ids = (values[0] + 8).to(torch.int64)
    counts = [np.bincount((region[0] + 8).astype(int), minlength=17) for region in found]
    assert pooler.dominant(ids, 17).tolist() == [count.argmax() for count in counts]


@given(partitions(), st.data())
@FEW
def test_regions_of_any_shape_are_pooled_as_by_a_slow_loop(region_map, data):
    masks = [region_map == number for number in range(region_map.max() + 1)]
    check(RegionMapPooler(region_map), masks, values_of(data.draw, 2))


@given(sides, sides, st.data())
@FEW
def test_boxes_are_pooled_as_by_a_slow_loop(height, width, data):
    boxes = data.draw(boxes_in(height, width))
    masks = masks_of(boxes, height, width)
    check(BoxPooler(boxes, height, width), masks, values_of(data.draw, 2))


@given(partitions(), st.sampled_from([0.25, 0.5, 1.0]), st.data())
@FEW
def test_the_highest_share_of_a_region_is_that_of_its_sorted_pieces(region_map, share, data):
    values = values_of(data.draw, 1)
    expected = []
    for number in range(region_map.max() + 1):
        ordered = np.sort(slow_pieces(region_map == number, values)[0])[::-1].astype(np.float64)
        taken = np.clip(share * len(ordered) - np.arange(len(ordered)), 0, 1)
        expected.append((taken * ordered).sum() / taken.sum())
    pooled = RegionMapPooler(region_map).top_share(values[0], share)
    np.testing.assert_allclose(pooled, expected, rtol=1e-5, atol=1e-5)
