"""Properties of composing, encoding and resizing masks that hold for any input."""

import io

import numpy as np
import pytest
from helpers.pictures import npy
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ray_al.core.types import IGNORE_INDEX, Box
from ray_al.datasets.bits import bits_of_ids, fill_bits
from ray_al.datasets.compose import (
    Part,
    compose_mask,
    compose_numbered,
    compose_targets,
    decode_mask,
    encode_mask,
)
from ray_al.datasets.images import resize_mask, resize_regions, resize_scattered
from ray_al.datasets.masks import MaskDecoder
from ray_al.datasets.masks import decode_mask as decode_file

few = settings(max_examples=40, deadline=None, derandomize=True, database=None)
HEIGHT, WIDTH, NUM_CLASSES = 7, 9, 4
COLORS = ((0, 0, 0), (255, 0, 0), (0, 0, 255), (7, 200, 90))
SIDES = st.integers(1, 12)


@st.composite
def masks(draw, height=None, width=None, values=(*range(NUM_CLASSES), IGNORE_INDEX)):
    """uint8 (H, W) of class ids and 255."""
    height, width = height or draw(SIDES), width or draw(SIDES)
    size = height * width
    ids = draw(st.lists(st.sampled_from(values), min_size=size, max_size=size))
    return np.array(ids, dtype=np.uint8).reshape(height, width)


@st.composite
def boxes(draw):
    top, left = draw(st.integers(0, HEIGHT - 1)), draw(st.integers(0, WIDTH - 1))
    bottom, right = draw(st.integers(top + 1, HEIGHT)), draw(st.integers(left + 1, WIDTH))
    return Box(top=top, left=left, bottom=bottom, right=right)


@st.composite
def parts(draw):
    """Boxes, some of which overlap, and the class ids in them."""
    found = []
    for box in draw(st.lists(boxes(), max_size=4)):
        found.append((box, draw(masks(box.height, box.width))))
    return found


def encoded(given_parts):
    return [(box, encode_mask(ids)) for box, ids in given_parts]


@few
@given(parts())
def test_a_composed_mask_holds_the_last_label_of_each_pixel(given_parts):
    expected = np.full((HEIGHT, WIDTH), IGNORE_INDEX, dtype=np.uint8)
    numbers = np.zeros((HEIGHT, WIDTH), dtype=np.int32)
    for number, (box, ids) in enumerate(given_parts, start=1):
        for row, column in np.ndindex(ids.shape):
            if ids[row, column] != IGNORE_INDEX:
                expected[box.top + row, box.left + column] = ids[row, column]
                numbers[box.top + row, box.left + column] = number
    mask, found = compose_numbered(encoded(given_parts), HEIGHT, WIDTH)
    assert np.array_equal(mask, expected) and np.array_equal(found, numbers)
    assert np.array_equal(compose_mask(encoded(given_parts), HEIGHT, WIDTH), expected)


@few
@given(parts())
def test_targets_of_dense_parts_are_the_bits_of_the_composed_mask(given_parts):
    dense = [Part(box=box, mask=data) for box, data in encoded(given_parts)]
    targets = compose_targets(dense, HEIGHT, WIDTH)
    mask, numbers = compose_numbered(encoded(given_parts), HEIGHT, WIDTH)
    assert np.array_equal(targets[..., 0], bits_of_ids(mask))
    assert np.array_equal(targets[..., 1], numbers)


@few
@given(boxes(), st.data())
def test_a_part_of_classes_fills_its_region_with_their_set(box, data):
    classes = data.draw(st.sets(st.integers(0, 62), min_size=1, max_size=5))
    inside = data.draw(masks(box.height, box.width, values=(0, 255)))
    part = Part(box=box, mask=encode_mask(inside), classes=tuple(classes))
    targets = compose_targets([part], HEIGHT, WIDTH)
    window = targets[box.top : box.bottom, box.left : box.right, 0]
    assert set(window[inside != 0].tolist()) <= {sum(1 << number for number in classes)}
    assert np.count_nonzero(targets[..., 0]) == np.count_nonzero(inside)
    assert np.array_equal(window, fill_bits(inside != 0, classes))


def saved(picture, form):
    buffer = io.BytesIO()
    picture.save(buffer, form)
    return buffer.getvalue()


def indexed(ids):
    picture = Image.fromarray(ids)
    picture.putpalette(np.resize(np.array(COLORS, np.uint8), (256, 3)).ravel().tolist())
    return picture


ID_FILES = {
    "PNG": encode_mask,
    "palette": lambda ids: saved(indexed(ids), "PNG"),
    "TIFF": lambda ids: saved(Image.fromarray(ids), "TIFF"),
    "TIFF of 16 bits": lambda ids: saved(Image.fromarray(ids.astype(np.uint16)), "TIFF"),
    "BMP": lambda ids: saved(Image.fromarray(ids), "BMP"),
    "npy": npy,
    "npy in Fortran order": lambda ids: npy(np.asfortranarray(ids.astype(np.int64))),
}


@pytest.mark.parametrize("name", ID_FILES)
@few
@given(ids=masks())
def test_ids_are_read_back_as_they_were_written(name, ids):
    decoded = decode_file(ID_FILES[name](ids), name, MaskDecoder(num_classes=NUM_CLASSES))
    assert decoded.ids.dtype == np.uint8 and np.array_equal(decoded.ids, ids)
    assert decoded.void_numbers == {IGNORE_INDEX} & set(ids.ravel().tolist())


@few
@given(masks(values=range(NUM_CLASSES)), st.sampled_from(("PNG", "TIFF", "BMP", "npy")))
def test_colours_are_read_back_as_the_ids_that_were_painted(ids, form):
    painted = np.array(COLORS, np.uint8)[ids]
    data = npy(painted) if form == "npy" else saved(Image.fromarray(painted), form)
    decoder = MaskDecoder(num_classes=NUM_CLASSES, encoding="colors", colors=COLORS)
    assert np.array_equal(decode_file(data, "m", decoder).ids, ids)


@few
@given(masks())
def test_an_encoded_mask_decodes_to_itself(ids):
    assert np.array_equal(decode_mask(encode_mask(ids)), ids)


@few
@given(masks(), SIDES, SIDES)
def test_masks_of_every_type_are_resized_alike(ids, height, width):
    resized = resize_mask(ids, (height, width))
    assert resized.shape == (height, width)
    assert set(resized.ravel().tolist()) <= set(ids.ravel().tolist())
    assert np.array_equal(resize_mask(ids.astype(np.int64), (height, width)), resized)
    stacked = resize_mask(np.stack([ids, ids], axis=-1), (height, width))
    assert np.array_equal(stacked, np.stack([resized, resized], axis=-1))


@few
@given(masks(values=(0, 1, 2, 3, 4, 5)), SIDES, SIDES)
def test_regions_survive_a_smaller_size_where_cells_are_free(numbers, height, width):
    ids = (numbers + 10).astype(np.uint8)
    resized, kept = resize_regions(ids, (height, width), numbers)
    plain = resize_mask(numbers, (height, width))
    assert np.array_equal(kept[plain > 0], plain[plain > 0])  # no label is replaced
    for number in set(plain.ravel().tolist()) - {0}:  # only lost regions get further cells
        assert np.array_equal(kept == number, plain == number)
    is_labelled = kept > 0
    assert np.array_equal(resized[is_labelled], kept[is_labelled] + 10)  # both agree
    if numbers.shape[0] < height or numbers.shape[1] < width:
        return  # a larger size leaves a pixel more than one cell
    rows, columns = (
        (2 * np.arange(old) + 1) * new // (2 * old)
        for old, new in zip(numbers.shape, (height, width), strict=True)
    )
    for number in set(numbers.ravel().tolist()) - {0} - set(kept.ravel().tolist()):
        ys, xs = np.nonzero(numbers == number)
        assert is_labelled[rows[ys], columns[xs]].all()  # all its cells were taken


@few
@given(masks(), SIDES, SIDES)
def test_scattered_labels_fill_every_cell_that_holds_one(ids, height, width):
    labelled = ids != IGNORE_INDEX
    resized = resize_scattered(ids, (height, width), labelled)
    plain = resize_mask(ids, (height, width))
    assert np.array_equal(resized[plain != IGNORE_INDEX], plain[plain != IGNORE_INDEX])
    rows, columns = (
        (2 * np.arange(old) + 1) * new // (2 * old)
        for old, new in zip(ids.shape, (height, width), strict=True)
    )
    for row, column in zip(*np.nonzero(labelled), strict=True):
        assert resized[rows[row], columns[column]] != IGNORE_INDEX


@few
@given(SIDES, SIDES, SIDES, SIDES, st.randoms(use_true_random=False))
def test_a_label_is_trained_in_the_cell_whose_prediction_its_pixel_gets(
    height, width, rows, columns, random
):
    """No smaller mask shifts the labels of single pixels."""
    rows, columns = min(rows, height), min(columns, width)
    row, column = random.randrange(height), random.randrange(width)
    ids = np.full((height, width), IGNORE_INDEX, np.uint8)
    ids[row, column] = 1
    ((y, x),) = np.argwhere(resize_scattered(ids, (rows, columns), ids == 1) == 1)
    for at, old, cell, new in ((row, height, y, rows), (column, width, x, columns)):
        assert abs((at + 0.5) * new / old - (cell + 0.5)) <= 0.5
