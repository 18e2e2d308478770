"""Make configurations of runs that measure their models apart from those that choose."""

from typing import Any

from ray_al.core.config import RunConfig, parse_config

VALUES: dict[str, Any] = {
    "model": {"name": "helpers.networks:linear"},
    "data": {"dataset": "synthetic", "image_size": [24, 32]},
    "regions": {"rows": 2, "columns": 2},
    "train": {"steps": 1, "batch_size": 2, "learning_rate": 0.05, "threads": 1},
    "strategy": {"acquisition": "entropy"},
    "scoring": {"workers": 0, "threads": 1, "batch_size": 2, "precision": "fp32", "shard_size": 3},
    "budget": {"start": 4, "per_cycle": 4, "amount": 12},
    "cluster": {"host": "process"},
    "report": {"num_images": 0},
    "final": {"budgets": [4, 12], "repeats": 2, "train": {"steps": 3}},
}


def configure(root: str, **changes: Any) -> RunConfig:
    """Return a run on the data set in `root`, with changed sections."""
    values: dict[str, Any] = {name: {**section} for name, section in VALUES.items()}
    values["data"]["root"] = root
    for name, section in changes.items():
        values[name] = {**values.get(name, {}), **section} if isinstance(section, dict) else section
    return parse_config(values, source="test")
