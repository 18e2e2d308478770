"""Make configurations of whole runs that take seconds and no Ray."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray_al.core.config import RunConfig, parse_config

SETTINGS: dict[str, Any] = {
    "data": {"dataset": "synthetic", "image_size": [32, 48]},
    "regions": {"rows": 2, "columns": 2},
    "train": {"steps": 2, "batch_size": 2, "workers": 0, "threads": 1},
    "scoring": {"workers": 0, "threads": 1, "batch_size": 2, "precision": "fp32", "shard_size": 3},
    "budget": {"start": 4, "per_cycle": 4, "amount": 12},
    "cluster": {"host": "process"},
    "report": {"num_images": 1},
}


FILE = """
name: small
model: {name: "helpers.networks:linear", weights: none}
data:
  dataset: camvid
  root: data
  class_names: [sky, ground, building, tree, car, sign]
  image_size: [32, 48]
regions: {rows: 2, columns: 2}
train: {steps: 1, batch_size: 2, workers: 0, threads: 1}
scoring: {workers: 0, batch_size: 2, precision: fp32, threads: 1}
budget: {start: 2, per_cycle: 2, amount: 4}
cluster: {host: process}
"""
"""A configuration file of two cycles on the data set `data` beside it; more lines may follow."""


def changed(settings: Mapping[str, Any], root: Path, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings on `root/data` with changed sections; regions are changed as a whole."""
    values: dict[str, Any] = {name: {**section} for name, section in settings.items()}
    values["data"]["root"] = str(root / "data")
    for name, section in changes.items():
        known = {} if name == "regions" else values.get(name, {})
        values[name] = {**known, **section}
    return values


def configure(root: Path, **changes: Any) -> RunConfig:
    """Return a run of a few seconds on `root/data`, with changed sections."""
    return parse_config(changed(SETTINGS, root, changes), source="test")
