"""Whatever an annotation holds, it is drawn as it says, or refused."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from ray_al.core.errors import ConfigError, DataError
from ray_al.datasets import coco_file
from ray_al.datasets.coco_masks import CocoMasks

SIDES = st.integers(1, 12)


def masks_of(monkeypatch, height, width, segmentations, *, text=None):
    """Return the source of the masks of one image with these annotations, and its mask's name."""
    values = {
        "images": [{"id": 1, "file_name": "a.png", "height": height, "width": width}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": 1, "segmentation": segmentation}
            for number, segmentation in enumerate(segmentations)
        ],
    }
    data = json.dumps(values).encode() if text is None else text
    coco_file.read_coco.cache_clear()
    monkeypatch.setattr(coco_file, "read_data", lambda uri: data)
    return (
        CocoMasks(
            stamps={"f.json": "1"},
            numbers={"f.json": {1: 3}},
            background=0,
            smaller_on_top=True,
            ignores_crowds=True,
        ),
        "f.json#1:a.png",
    )


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield monkeypatch
    coco_file.read_coco.cache_clear()


@settings(max_examples=60, deadline=None)
@given(height=SIDES, width=SIDES, seed=st.integers(0, 1 << 30))
def test_random_masks_come_back_from_both_kinds_of_runs(patch, height, width, seed):
    pixels = np.random.default_rng(seed).random((height, width)) < 0.4
    flat = pixels.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    counts = [0, *counts] if flat[0] else counts
    packed = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))["counts"].decode()
    for one in (counts, packed):
        source, uri = masks_of(patch, height, width, [{"size": [height, width], "counts": one}])
        assert np.array_equal(source.read(uri), np.where(pixels, 3, 0))


@settings(max_examples=60, deadline=None)
@given(
    height=SIDES,
    width=SIDES,
    counts=st.one_of(
        st.text(alphabet=[chr(code) for code in range(32, 127)], max_size=12),
        st.lists(st.integers(-2, 80), max_size=6),
        st.text(max_size=4),
    ),
)
def test_any_runs_are_drawn_in_full_or_refused(patch, height, width, counts):
    source, uri = masks_of(patch, height, width, [{"size": [height, width], "counts": counts}])
    try:
        mask = source.read(uri)
    except DataError as error:
        assert "annotation 0 cannot be drawn" in str(error)
        return
    assert mask.shape == (height, width) and set(np.unique(mask)) <= {0, 3}


@settings(max_examples=60, deadline=None)
@given(
    polygons=st.lists(
        st.lists(
            st.one_of(st.floats(-40, 40), st.floats(), st.none(), st.text(max_size=2)), max_size=9
        ),
        max_size=3,
    )
)
def test_any_polygons_are_drawn_or_refused(patch, polygons):
    source, uri = masks_of(patch, 20, 30, [polygons])
    try:
        assert source.read(uri).shape == (20, 30)
    except DataError as error:
        assert "a.png" in str(error)


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 400), place=st.integers(0, 400), byte=st.integers(0, 255))
def test_damaged_files_are_refused_or_read(patch, cut, place, byte):
    values = {
        "images": [{"id": 1, "file_name": "a.png", "height": 4, "width": 5}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 3, 0, 3, 3]]}
        ],
    }
    text = bytearray(json.dumps(values).encode())
    text[place % len(text)] = byte
    source, uri = masks_of(patch, 0, 0, [], text=bytes(text[: len(text) - cut % 40]))
    try:
        source.read(uri)
    except (ConfigError, DataError) as error:
        assert "f.json" in str(error)
