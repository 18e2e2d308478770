"""Labels that were paid for do not vanish where an image is made smaller."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_al.core.config import AugmentConfig, parse_config
from ray_al.core.storage import Storage
from ray_al.core.types import LABEL_SCHEMA, MANIFEST_SCHEMA, Box
from ray_al.datasets import open_dataset
from ray_al.datasets.cache import ByteCache
from ray_al.datasets.compose import compose_numbered, encode_mask
from ray_al.datasets.images import resize_mask, resize_regions
from ray_al.train.augment import augment
from ray_al.train.samples import LabelledImages

SIZE = (96, 128)


def grid(regions, rows=48, columns=64, seed=0):
    """Cells of 2 x 2 pixels of random classes: (mask, numbers), both (96, 128)."""
    kind = parse_config(
        {"regions": {"rows": rows, "columns": columns}}, source="test"
    ).regions.of_image(*SIZE)
    rng = np.random.default_rng(seed)
    boxes = [kind.box(int(region)) for region in regions]
    parts = [
        (box, encode_mask(np.full((box.height, box.width), rng.integers(0, 6), np.uint8)))
        for box in boxes
    ]
    return compose_numbered(parts, *SIZE)


@pytest.mark.parametrize(
    "size", [(32, 48), (33, 47), (96, 40), (10, 200), (7, 9), (1, 1), (200, 300)]
)
def test_a_region_loses_its_last_cell_to_another_one_alone(size):
    mask, numbers = grid(np.random.default_rng(1).choice(48 * 64, 60, replace=False))
    small, kept = resize_regions(mask, size, numbers)
    assert ((small != 255) == (kept != 0)).all()
    assert np.isin(small[small != 255], mask[mask != 255]).all()
    for number in set(range(1, 61)) - set(np.unique(kept).tolist()):
        ys, xs = np.nonzero(numbers == number)
        rows, columns = (
            (2 * at + 1) * new // (2 * old)
            for at, new, old in zip((ys, xs), size, SIZE, strict=True)
        )
        assert kept[rows, columns].all()  # every cell that holds a centre of it has another label


def test_cells_that_lie_apart_all_survive():
    regions = [row * 64 + column for row in range(0, 48, 6) for column in range(0, 64, 8)]
    mask, numbers = grid(regions)
    assert len(np.unique(resize_mask(numbers, (12, 16)))) - 1 < len(regions)
    small, kept = resize_regions(mask, (12, 16), numbers)
    assert len(np.unique(kept)) - 1 == len(regions)
    for number in range(1, len(regions) + 1):
        assert set(small[kept == number]) == set(mask[numbers == number])


@pytest.mark.parametrize("size", [(32, 48), (50, 37), (12, 16)])
def test_large_regions_are_resized_as_ever(size):
    mask, numbers = grid([0, 3, 5], rows=3, columns=3)
    small, kept = resize_regions(mask, size, numbers)
    assert small.tobytes() == resize_mask(mask, size).tobytes()
    assert kept.tobytes() == resize_mask(numbers, size).tobytes()


def samples(tmp_path, kind, image_size=(12, 16)):
    """Every twelfth cell of 2 x 2 pixels of one image, labelled with `kind`, as a run has them."""
    config = parse_config(
        {"data": {"dataset": "synthetic", "num_images": 6, "root": str(tmp_path / "data")}},
        source="test",
    )
    dataset, storage = open_dataset(config.data), Storage(str(tmp_path / "run"))
    image = dataset.splits["train"][0]
    manifest = pa.Table.from_pylist(
        [
            dict(
                zip(
                    MANIFEST_SCHEMA.names,
                    (0, image.image_id, image.uri, None, *SIZE, 0),
                    strict=True,
                )
            )
        ],
        MANIFEST_SCHEMA,
    )
    boxes = [
        Box(top=top, left=left, bottom=top + 2, right=left + 2)
        for top in range(0, 96, 12)
        for left in range(2, 128, 16)
    ]
    rows = []
    for number, box in enumerate(boxes):
        mask = encode_mask(np.full((2, 2), number % 6, np.uint8)) if kind == "dense" else None
        classes = (
            None if kind == "dense" else [number % 6] if kind == "dominant" else [number % 5, 5]
        )
        row = (0, image.image_id, number, list(box.as_tuple()), kind, mask, classes, 1, "test", 0.0)
        rows.append(dict(zip(LABEL_SCHEMA.names, row, strict=True)))
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=LABEL_SCHEMA), buffer)
    ref = storage.put("part.parquet", buffer.getvalue(), attempt=0)
    labelled = LabelledImages(
        storage, manifest, dataset, image_size, ByteCache(1 << 20), partial=kind != "dense"
    )
    labelled.update([ref])
    return labelled, len(boxes)


@pytest.mark.parametrize("kind", ["dense", "dominant", "classes"])
@pytest.mark.parametrize("scale", [None, (0.4, 0.4), (0.3, 0.9)])
def test_every_paid_region_is_trained_on(tmp_path, kind, scale):
    labelled, count = samples(tmp_path, kind, image_size=(24, 32))
    mask, regions = labelled.mask(0), labelled.regions(0)
    assert set(np.unique(regions)) - {0} == set(range(1, count + 1))
    place = {"seed": 0, "cycle": 0, "step": 3, "position": 1}
    scaled = augment(
        labelled.image(0), mask, AugmentConfig(mirror=True, scale=scale), regions=regions, **place
    )[1]
    labels = scaled != 255 if kind == "dense" else scaled[..., 0] != 0
    assert labels.sum() >= count
