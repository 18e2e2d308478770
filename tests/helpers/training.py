"""Make run directories with labels, and plans to train on them."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from torch import nn

from ray_al.core.config import RunConfig, parse_config
from ray_al.core.storage import Storage
from ray_al.core.types import (
    LABEL_SCHEMA,
    MANIFEST_SCHEMA,
    FileRef,
    ImageFile,
    TrainPlan,
    TrainResult,
)
from ray_al.datasets import open_dataset
from ray_al.datasets.compose import encode_mask
from ray_al.datasets.images import read_image
from ray_al.datasets.masks import read_mask
from ray_al.train.loop import CycleTrainer, TrainStopped
from ray_al.train.trainer import LocalTrainer


def tiny(num_classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, stride=2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Conv2d(6, num_classes, 1),
    )


def make_config(**train: Any) -> RunConfig:
    """Return a configuration of six scenes, with these settings of `train`."""
    values = {"steps": 6, "batch_size": 4, "threads": 1, "learning_rate": 0.01, **train}
    data = {"dataset": "synthetic", "num_images": 6, "image_size": [32, 48]}
    return parse_config(
        {"data": data, "model": {"name": f"{__name__}:tiny"}, "train": values}, source="test"
    )


def manifest_row(index: int, file: ImageFile, size: tuple[int, int]) -> dict[str, Any]:
    """Return the row of a pool's image of this height and width, with two regions."""
    values = (index, file.image_id, file.uri, file.mask_uri, *size, 2)
    return dict(zip(MANIFEST_SCHEMA.names, values, strict=True))


def make_run(root: str, config: RunConfig) -> list[FileRef]:
    """Make a run directory with a manifest and two label parts.

    They label the left halves of images 0 to 3 and the right half of image 0.
    """
    dataset, storage = open_dataset(config.data), Storage(root)
    rows, labels = [], []
    for index, file in enumerate(dataset.splits["train"]):
        height, width = read_image(file.uri).shape[:2]
        rows.append(manifest_row(index, file, (height, width)))
        mask = read_mask(str(file.mask_uri), dataset.decoder)
        for region, (left, right) in enumerate(((0, width // 2), (width // 2, width))):
            png = encode_mask(np.ascontiguousarray(mask[:, left:right]))
            row = (
                index,
                file.image_id,
                region,
                [0, left, height, right],
                "dense",
                png,
                None,
                1,
                "test",
                0.0,
            )
            labels.append(dict(zip(LABEL_SCHEMA.names, row, strict=True)))
    storage.replace("manifest.parquet", parquet(rows, MANIFEST_SCHEMA))
    parts = ([row for row in labels if row["region"] == 0][:4], labels[1:2])
    return [
        storage.put(f"labels/part-{i}.parquet", parquet(part, LABEL_SCHEMA), attempt=0)
        for i, part in enumerate(parts)
    ]


def parquet(rows: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    """Return a file of these rows."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer)
    return buffer.getvalue()


def stop_and_resume(
    config: RunConfig, root: str, parts: Sequence[FileRef]
) -> tuple[TrainResult, list[int]]:
    """Stop a training on these label parts after its third step, and resume it.

    Returns:
        The result of the resumed training, and the steps that it took.
    """
    calls = iter([False] * 3 + [True])
    with pytest.raises(TrainStopped):
        LocalTrainer(config, root).train(make_plan(parts), should_stop=lambda: next(calls))
    steps: list[int] = []
    result = LocalTrainer(config, root).train(
        make_plan(parts), lambda step, total: steps.append(step)
    )
    return result, steps


def make_plan(parts: Sequence[FileRef], cycle: int = 0, **changes: Any) -> TrainPlan:
    """Return the plan of a cycle that trains on these label parts."""
    values = {
        "output": f"cycles/{cycle:04d}/checkpoint",
        "partial_checkpoint": f"cycles/{cycle:04d}/progress.pt",
        **changes,
    }
    return TrainPlan(cycle=cycle, attempt=1, seed=0, label_parts=tuple(parts), **values)


def train_in_a_group_of_one(config: RunConfig, run_dir: str, plan: TrainPlan) -> TrainResult:
    """Train as a worker of torch.distributed does, which is alone in its group."""
    import torch.distributed as dist  # only these tests wait for it

    from ray_al.train.comm import TorchComm

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        wrap = nn.parallel.DistributedDataParallel
        return CycleTrainer(config, run_dir, TorchComm(), "cpu").run(plan, wrap=wrap)
    finally:
        dist.destroy_process_group()
