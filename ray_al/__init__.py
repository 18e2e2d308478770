"""Active learning for semantic segmentation on Ray.

The names of `ray_al.api` are exported here. They are loaded at their first use: `import ray_al`
alone loads neither torch nor Ray.
"""

import importlib
import os
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# An OpenMP thread that waits for another one spins, for milliseconds by default. If other processes
# use the cores too, it takes the core from the thread that it waits for, and a training step takes
# up to twenty times as long. If it never spins, a step takes half as long again on idle cores. This
# number of turns costs neither (jobs/bench_threads.py). OpenMP reads it once, when torch is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

if TYPE_CHECKING:
    from ray_al.api import (
        Comparison,
        Run,
        Sweep,
        compare_runs,
        export_model,
        extend,
        load_config,
        load_sweep,
        open_run,
        predict_images,
        resume,
        resume_sweep,
        run,
        run_sweep,
    )
    from ray_al.core.errors import (
        ClusterError,
        ConfigError,
        DataError,
        DivergedError,
        Interrupted,
        RayALError,
        RunHeldError,
        StorageError,
        VerifyError,
    )

__all__ = [
    "ClusterError",
    "Comparison",
    "ConfigError",
    "DataError",
    "DivergedError",
    "Interrupted",
    "RayALError",
    "Run",
    "RunHeldError",
    "StorageError",
    "Sweep",
    "VerifyError",
    "compare_runs",
    "export_model",
    "extend",
    "load_config",
    "load_sweep",
    "open_run",
    "predict_images",
    "resume",
    "resume_sweep",
    "run",
    "run_sweep",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    errors = importlib.import_module("ray_al.core.errors")
    if hasattr(errors, name):
        return getattr(errors, name)
    return getattr(importlib.import_module("ray_al.api"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
