"""Make run directories and recipes for training on the features of a frozen backbone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from helpers.training import manifest_row, parquet
from torch import nn

from ray_al.core.config import (
    RunConfig,
    parse_config,
)
from ray_al.core.storage import Storage
from ray_al.core.types import LABEL_SCHEMA, MANIFEST_SCHEMA, FileRef
from ray_al.core.variants import Backbone, Head
from ray_al.datasets import open_dataset
from ray_al.datasets.compose import encode_mask
from ray_al.datasets.images import read_image
from ray_al.datasets.masks import read_mask


class TinyBackbone(Backbone):
    """Two maps, at strides 4 and 8."""

    kind: str

    def build(self, weights: str) -> nn.Module:
        """As `Backbone.build`."""
        return TinyMaps()


class TinyMaps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(3, 8, 5, 4, 2), nn.BatchNorm2d(8), nn.ReLU())
        self.coarse = nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1), nn.BatchNorm2d(12), nn.ReLU())

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        fine = self.fine(images)
        return fine, self.coarse(fine)


class PlainHead(Head):
    """Without batch norm or dropout, so that workers differ by the order of their sums alone."""

    kind: str

    def build(self, channels: Sequence[int], num_classes: int) -> nn.Module:
        """As `Head.build`."""
        return PlainLogits(channels[0], num_classes)


class PlainLogits(nn.Module):
    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, maps: tuple[torch.Tensor, ...]) -> torch.Tensor:
        logits: torch.Tensor = self.classifier(maps[0])
        return logits


FPN = {"kind": "fpn", "width": 8}


PLAIN = {"kind": f"{__name__}:PlainHead"}


def configure(head: Mapping[str, Any] = FPN, **train: Any) -> RunConfig:
    """Return a configuration of six scenes and a frozen backbone, with settings of `train`."""
    data = {"dataset": "synthetic", "num_images": 6, "image_size": [32, 48]}
    model = {"kind": "composed", "backbone": {"kind": f"{__name__}:TinyBackbone"}, "head": head}
    values = {"steps": 6, "batch_size": 4, "threads": 1, "learning_rate": 0.01, **train}
    features = {"store": {"kind": "none"}, "batch_size": 2}
    return parse_config(
        {"data": data, "model": model, "train": values, "features": features}, source="test"
    )


def make_run(
    root: str, config: RunConfig, kind: str = "dense", classes: Sequence[int] | None = None
) -> list[FileRef]:
    """A run directory with a manifest, and the left halves of images 0 to 3 labelled."""
    dataset, storage = open_dataset(config.data), Storage(root)
    rows, labels = [], []
    for index, file in enumerate(dataset.splits["train"]):
        height, width = read_image(file.uri).shape[:2]
        rows.append(manifest_row(index, file, (height, width)))
        half = read_mask(str(file.mask_uri), dataset.decoder)[:, : width // 2]
        png = encode_mask(np.ascontiguousarray(half)) if kind == "dense" else None
        row = (
            index,
            file.image_id,
            0,
            [0, 0, height, width // 2],
            kind,
            png,
            classes,
            1,
            "test",
            0.0,
        )
        labels.append(dict(zip(LABEL_SCHEMA.names, row, strict=True)))
    storage.replace("manifest.parquet", parquet(rows, MANIFEST_SCHEMA))
    return [storage.put("labels/part-0.parquet", parquet(labels[:4], LABEL_SCHEMA), attempt=0)]


RECIPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "recipe": {
        "optimizer": "adamw",
        "warmup": 0.4,
        "schedule": "cosine",
        "clip_gradients": 1.0,
        "pixels_per_step": 300,
        "class_weights": "balanced",
        "batch_norm": {"reestimate_batches": 2},
    },
    "semi": {
        "semi": {"kind": "pseudo_labels", "start": 0.2, "pixels": 500},
        "pixels_per_step": 300,
    },
    "dice": {
        "loss": {"kind": "dice", "cross_entropy": 0.5},
        "class_weights": "balanced",
        "mirror_loss": True,
    },
    "best": {"keep": "best", "evaluate_every": 2, "batch_norm": {"reestimate_batches": 1}},
    "pair": {"mirror_loss": True, "consistency": 1.0, "mirror_test": True, "pixels_per_step": 300},
}
