"""Small trainings in a directory that holds no more of a run than they read."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ray_al.core.config import RunConfig, parse_config
from ray_al.core.storage import Storage
from ray_al.core.types import LABEL_SCHEMA, MANIFEST_SCHEMA, FileRef, TrainPlan, TrainResult
from ray_al.datasets import open_dataset
from ray_al.datasets.compose import encode_mask
from ray_al.datasets.images import read_image
from ray_al.datasets.masks import read_mask
from ray_al.train.trainer import LocalTrainer


def _parquet(rows: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer)
    return buffer.getvalue()


def _make_run(root: str, config: RunConfig, *, void: bool) -> FileRef:
    """Write a manifest and a label part: the whole masks of three images, or nothing but void."""
    dataset, storage = open_dataset(config.data), Storage(root)
    rows, labels = [], []
    for index, file in enumerate(dataset.splits["train"]):
        height, width = read_image(file.uri).shape[:2]
        values = (index, file.image_id, file.uri, file.mask_uri, height, width, 1)
        rows.append(dict(zip(MANIFEST_SCHEMA.names, values, strict=True)))
        assert file.mask_uri is not None
        ids = np.ascontiguousarray(read_mask(file.mask_uri, dataset.decoder))
        mask = encode_mask(np.full_like(ids, 255) if void else ids)
        label = (index, file.image_id, 0, [0, 0, height, width], "dense", mask, None, 1, "test", 0)
        labels.append(dict(zip(LABEL_SCHEMA.names, label, strict=True)))
    storage.replace("manifest.parquet", _parquet(rows, MANIFEST_SCHEMA))
    return storage.put("labels/part-0.parquet", _parquet(labels[:3], LABEL_SCHEMA), attempt=0)


def train(
    root: Path, *, void: bool = False, data: dict[str, Any] | None = None, **settings: Any
) -> TrainResult:
    """Train a small network on four synthetic images with these settings of `train`."""
    config = parse_config(
        {
            "data": {
                "dataset": "synthetic",
                "num_images": 4,
                "image_size": [32, 48],
                **(data or {}),
            },
            "model": {"name": "lraspp_mobilenet_v3_large"},
            "train": {"steps": 6, "batch_size": 2, "threads": 1, **settings},
        },
        source="test",
    )
    plan = TrainPlan(
        cycle=0,
        attempt=1,
        seed=0,
        label_parts=(_make_run(str(root), config, void=void),),
        output="checkpoint",
        partial_checkpoint="progress.pt",
    )
    return LocalTrainer(config, str(root)).train(plan)
