"""Pools of small scenes whose features are computed by a backbone that costs nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from ray_al.core.config import RunConfig, parse_config
from ray_al.datasets import open_dataset
from ray_al.datasets.manifest import build_manifest
from ray_al.features.files import ShardFiles
from ray_al.features.source import FeatureSource, pool_source


def configure(root: str, **features: Any) -> RunConfig:
    """Return a configuration of the scenes in `root`, with settings of `features`."""
    return parse_config(
        {
            "data": {"dataset": "synthetic", "root": root, "image_size": [16, 24]},
            "model": {
                "kind": "composed",
                "backbone": {"kind": "helpers.tiny_backbones:TinyBackbone"},
            },
            "features": {"batch_size": 2, **features},
        },
        source="test",
    )


def pool(config: RunConfig, run_dir: str | Path) -> FeatureSource:
    """Return the features of the pool of a run."""
    manifest, _ = build_manifest(open_dataset(config.data).splits["train"], lambda height, width: 1)
    return pool_source(config, str(run_dir), manifest)


def fresh(source: FeatureSource) -> FeatureSource:
    """Return a source as of another process: it remembers nothing, and has verified nothing."""
    source = FeatureSource(source.config, source.run_uri, source.split, source.rows)
    if isinstance(files := source.store, ShardFiles):
        source.store = ShardFiles(files.storage.root, files.limit_bytes)
    return source


def computed(
    config: RunConfig, run_dir: str | Path, numbers: Sequence[int], view: int
) -> np.ndarray:
    """Return the records of images, computed without a store."""
    without = configure(str(config.data.root), store={"kind": "none"}).features
    return pool(config.model_copy(update={"features": without}), run_dir).records(numbers, view)


def no_computing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test fail that opens an image or sends one through the backbone."""

    def refuse(*arguments: Any) -> NoReturn:
        raise AssertionError("an image was opened or sent through the backbone")

    monkeypatch.setattr("ray_al.features.source.FeatureSource.image", refuse)
    monkeypatch.setattr("ray_al.features.embed.Embedder.records", refuse)
