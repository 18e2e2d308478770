"""Settings of runs that are compared, forked and tracked."""

from typing import Any

VALUES: dict[str, Any] = {
    "data": {"num_images": 6, "image_size": [32, 48]},
    "regions": {"rows": 2, "columns": 2},
    "train": {"steps": 2, "batch_size": 2, "threads": 1},
    "scoring": {"workers": 0, "batch_size": 2, "precision": "fp32", "threads": 1},
    "budget": {"start": 4, "per_cycle": 4, "amount": 12},
    "cluster": {"host": "process"},
}
