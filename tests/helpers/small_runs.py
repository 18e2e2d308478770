"""Make configurations of whole runs that take seconds and no Ray."""

from ray_al.core.config import parse_config

SETTINGS = {
    "data": {"dataset": "synthetic", "image_size": [32, 48]},
    "regions": {"rows": 2, "columns": 2},
    "train": {"steps": 2, "batch_size": 2, "workers": 0, "threads": 1},
    "scoring": {"workers": 0, "threads": 1, "batch_size": 2, "precision": "fp32", "shard_size": 3},
    "budget": {"start": 4, "per_cycle": 4, "amount": 12},
    "cluster": {"host": "process"},
    "report": {"num_images": 1},
}


def configure(root, **changes):
    values = {name: {**section} for name, section in SETTINGS.items()}
    values["data"]["root"] = str(root / "data")
    for name, section in changes.items():
        known = {} if name == "regions" else values.get(name, {})
        values[name] = {**known, **section}
    return parse_config(values, source="test")
