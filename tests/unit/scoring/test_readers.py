"""Reading images for a scorer: in groups, from features, and never more than is needed."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ray_al.core.config import parse_config
from ray_al.core.errors import DataError
from ray_al.features.source import FeatureSource
from ray_al.scoring import decode
from ray_al.scoring.batches import map_batches
from ray_al.scoring.inputs import InputFormat
from ray_al.scoring.readers import FeatureReader, Reader

FORM = InputFormat(device="cpu", memory_format=torch.channels_last, dtype=torch.float32)
SIZE = (32, 48)


@pytest.fixture
def images(tmp_path):
    """Seven noisy pictures, the fourth broken."""
    made, random = [], np.random.default_rng(0)
    for number in range(7):
        path = tmp_path / f"{number}.png"
        Image.fromarray(random.integers(0, 256, (*SIZE, 3), np.uint8)).save(path)
        if number == 3:
            path.write_bytes(b"no picture")
        row = {"image_index": number, "uri": str(path), "image_id": str(number)}
        made.append(SimpleNamespace(row={**row, "height": SIZE[0], "width": SIZE[1]}))
    return made


def feature_reader(images, transforms=(), **features):
    values = {
        "data": {"image_size": list(SIZE)},
        "model": {
            "kind": "composed",
            "backbone": {"kind": "helpers.tiny_backbones:TinyBackbone", "channels": 8},
        },
        "features": {"batch_size": 2, "store": {"kind": "none"}, **features},
        "scoring": {"threads": 2},
    }
    config = parse_config(values, source="test")
    source = FeatureSource(config, "memory://readers", "pool", [image.row for image in images])
    return FeatureReader(config, FORM, source, transforms)


def records(members, inputs):
    return [(image.row["image_id"], inputs.records[n].tobytes()) for n, image in enumerate(members)]


@pytest.mark.parametrize("batch_size", [1, 3, 4])
def test_features_of_the_images_that_can_be_used_whatever_the_batch(images, batch_size):
    found, broken = zip(
        *map_batches(images, feature_reader(images), batch_size, 2, records), strict=True
    )
    assert [name for name, _ in sum(broken, [])] == ["3"]
    flat: list[Any] = sum(found, [])
    assert [name for name, _ in flat] == ["0", "1", "2", "4", "5", "6"]
    alone = feature_reader(images)
    assert [record for _, record in flat] == [
        alone.read([images[int(name)]])[0].record.tobytes() for name, _ in flat
    ]


def test_groups_are_read_once_each_and_no_more_than_a_few_ahead(images):
    class Counting(Reader):
        threads, group = 1, 3
        read_groups: list[int] = []

        def read(self, images):
            self.read_groups.append(len(images))
            return [image.row["image_id"] for image in images]

        def batch(self, items):
            return items

    reader = Counting()
    work: Any = lambda members, items: items  # noqa: E731
    batches: Any = map_batches(images * 40, reader, 2, 1, work)
    assert next(batches) == (["0", "1"], [])
    assert len(reader.read_groups) <= 4
    assert sum((found for found, _ in batches), []) == ([str(n) for n in range(7)] * 40)[2:]
    assert sum(reader.read_groups) == 280
    assert set(reader.read_groups) == {3, 1}


def test_no_image_is_opened_where_its_features_are_known(images, monkeypatch):
    whole = [image for image in images if image.row["image_id"] != "3"]
    reader = feature_reader(images, ("mirror",))
    before = reader.read(whole)
    monkeypatch.setattr(decode, "read_seen", unreadable)
    monkeypatch.setattr("ray_al.features.source.read_seen", unreadable)
    again = reader.read(whole)
    for one, other in zip(before, again, strict=True):
        assert np.array_equal(one.record, other.record)
        assert np.array_equal(one.views["mirror"], other.views["mirror"])
        assert one.pixels is None


def unreadable(*arguments):
    raise AssertionError("an image was opened")


def test_only_transforms_without_a_view_need_the_image(images):
    members = images[:3]
    reader = feature_reader(images, ("mirror", "rotate90"))
    inputs = reader.batch(reader.read(members))
    assert [one.shape for one in inputs.plain()] == [(3, 8, 8, 12), (3, 8, 4, 6)]
    assert [one.shape for one in inputs.transformed("rotate90")] == [(3, 8, 12, 8), (3, 8, 6, 4)]
    fine = inputs.backbone(inputs.pixels.transformed("mirror"))[0]
    torch.testing.assert_close(inputs.transformed("mirror")[0], fine.float(), rtol=0.01, atol=0.01)


def test_a_broken_image_says_what_is_wrong_and_the_others_are_read(images):
    answers = feature_reader(images).read(images[2:5])
    assert isinstance(answers[1], DataError)
    assert "3.png" in str(answers[1])
    assert not any(isinstance(answer, DataError) for answer in (answers[0], answers[2]))


def test_maps_come_as_the_network_wants_them(images):
    reader = feature_reader(images)
    items = reader.read(images[:2])
    for dtype, layout in (
        (torch.bfloat16, torch.channels_last),
        (torch.float32, torch.contiguous_format),
    ):
        reader.form = InputFormat(device="cpu", memory_format=layout, dtype=dtype)
        for one in reader.batch(items).plain():
            assert one.dtype == dtype
            assert one.is_contiguous(memory_format=layout)
