"""The labels of a view are gathered once for each state of an image's labels."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_al.core.config import parse_config
from ray_al.core.storage import Storage
from ray_al.core.types import LABEL_SCHEMA, Box
from ray_al.datasets import open_dataset
from ray_al.datasets.cache import ByteCache
from ray_al.datasets.compose import encode_mask
from ray_al.datasets.manifest import absolute_places, build_manifest
from ray_al.train.samples import LabelledImages

SIZE = (96, 128)
KINDS = {"dense": [3], "dominant": [3], "classes": [3, 5]}


def part(storage: Storage, image_id: str, kind: str, box: Box) -> object:
    """Write a label part of one region and return its reference."""
    mask = encode_mask(np.full((box.height, box.width), 3, np.uint8)) if kind == "dense" else None
    classes = None if kind == "dense" else KINDS[kind]
    values = (0, image_id, 0, list(box.as_tuple()), kind, mask, classes, 1, "test", 0.0)
    buffer = io.BytesIO()
    row = dict(zip(LABEL_SCHEMA.names, values, strict=True))
    pq.write_table(pa.Table.from_pylist([row], schema=LABEL_SCHEMA), buffer)
    return storage.put(f"part-{box.top}.parquet", buffer.getvalue(), attempt=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_labels_of_a_view_follow_those_of_the_image(tmp_path, kind):
    data = {"dataset": "synthetic", "num_images": 2, "root": str(tmp_path / "data")}
    config = parse_config({"data": data}, source="test")
    dataset, storage = open_dataset(config.data), Storage(str(tmp_path))
    table, _ = build_manifest(dataset.splits["train"], config.regions.num_regions)
    labelled = LabelledImages(
        storage,
        absolute_places(table, dataset.root),
        dataset,
        SIZE,
        ByteCache(1 << 20),
        partial=kind != "dense",
    )
    mirror = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE)[:, ::-1]
    calls = []

    def origin() -> np.ndarray:
        calls.append(1)
        return mirror

    image_id = table.column("image_id")[0].as_py()
    first, second = (
        part(storage, image_id, kind, Box(top=top, left=0, bottom=top + 8, right=8))
        for top in (0, 16)
    )
    counts = []
    for parts in ([first], [first, second], [first]):
        labelled.update(parts)
        for _ in range(2):
            seen = labelled.view(0, 1, origin)
            assert np.array_equal(seen, labelled.mask(0)[:, ::-1])
        counts.append(int((seen != seen[-1, 0]).reshape(*SIZE, -1).any(2).sum()))
    assert counts == [64, 128, 64]
    assert len(calls) == (2 if kind == "dense" else 6)
    if kind != "dense":
        labelled.sieve(lambda index: np.eye(6)[np.zeros(SIZE, int)].transpose(2, 0, 1))
        assert np.array_equal(labelled.view(0, 1, origin), labelled.mask(0)[:, ::-1])
