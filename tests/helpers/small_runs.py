"""Make configurations of whole runs that take seconds and no Ray."""

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


def configure(root: Path, **changes: Any) -> RunConfig:
    """Return a run of a few seconds on `root/data`, with changed sections."""
    values: dict[str, Any] = {name: {**section} for name, section in SETTINGS.items()}
    values["data"]["root"] = str(root / "data")
    for name, section in changes.items():
        known = {} if name == "regions" else values.get(name, {})
        values[name] = {**known, **section}
    return parse_config(values, source="test")
