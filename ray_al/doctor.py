"""What this machine has, what it lacks and what to do."""

import os
import sys
from collections.abc import Callable
from typing import Any

from ray_al.core.config import RunConfig
from ray_al.core.errors import RayALError, StorageError
from ray_al.core.storage import Storage

Finding = tuple[bool, str, str]


def diagnose(storage: str | None = None, config: RunConfig | None = None) -> list[dict[str, Any]]:
    """One row a check: `check`, `ok`, `found`, and `remedy` where it is not ok.

    Args:
        storage: a place for run directories to try beside the default one.
        config: of a run whose features are to be counted.
    """
    places = [
        os.environ.get("RAY_AL_RUNS") or os.path.abspath("runs"),
        *([storage] if storage else []),
    ]
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("Python", _python),
        ("torch", _torch),
        ("CUDA", _cuda),
        ("bf16 scoring", _bf16),
        ("Ray", _ray),
        ("cluster", _cluster),
        ("machine", _machine),
        *((f"storage {place}", lambda place=place: _storage(place)) for place in places),  # type: ignore[misc]
    ]
    if config is not None:
        checks.append(("features", lambda: _features(config, places[-1])))
    rows = []
    for name, check in checks:
        ok, found, remedy = check()
        rows.append({"check": name, "ok": ok, "found": found, "remedy": "" if ok else remedy})
    return rows


def _python() -> Finding:
    return sys.version_info >= (3, 11), sys.version.split()[0], "install Python 3.11 or newer"


def _torch() -> Finding:
    try:
        import torch
        import torchvision
    except (ImportError, RuntimeError) as error:
        return False, str(error), "pip install 'torch>=2.14' 'torchvision>=0.29'"
    return True, f"{torch.__version__}, torchvision {torchvision.__version__}", ""


def _cuda() -> Finding:
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return True, ", ".join(names) or "none: CPU only", ""


def _bf16() -> Finding:
    from ray_al.score.prepare import resolve_precision

    precision = resolve_precision("auto")
    return True, "yes" if precision == "bf16" else "no: this processor scores in fp32", ""


def _ray() -> Finding:
    import ray

    major, minor = map(int, ray.__version__.split(".")[:2])
    return (
        (major, minor) >= (2, 60),
        ray.__version__,
        "pip install 'ray[default,data,train,tune]>=2.60'",
    )


def _cluster() -> Finding:
    from ray_al.driver.cluster import check_address

    address = os.environ.get("RAY_ADDRESS", "")
    try:
        check_address(address)
    except RayALError as error:
        return False, str(error), "start that cluster, or unset RAY_ADDRESS"
    return (
        True,
        f"RAY_ADDRESS={address}"
        if address
        else "RAY_ADDRESS is not set: a running one is used, else a local one is started",
        "",
    )


def _machine() -> Finding:
    import psutil

    return (
        True,
        f"{os.cpu_count()} CPUs, {psutil.virtual_memory().total / 2**30:.0f} GiB of memory",
        "",
    )


def _storage(place: str) -> Finding:
    """What every run finds out before it begins."""
    try:
        Storage(place).probe()
    except StorageError as error:
        found, _, remedy = str(error).removeprefix(f"{place}: ").rpartition("; ")
        return False, found, remedy
    return True, "writable, refuses to overwrite", ""


def _features(config: RunConfig, place: str) -> Finding:
    """What a run below `place` would keep."""
    from ray_al.datasets import open_dataset
    from ray_al.driver.budget import total_amount
    from ray_al.driver.checks import check_pool
    from ray_al.driver.feature_costs import REMEDY, feature_costs

    try:
        dataset = open_dataset(config.data)
        pool = check_pool(config, dataset)
        manifest, sizes = pool.manifest, dict(pool.sizes)
        if not sizes["num_regions"]:  # superpixels are counted once they are computed
            shapes = zip(
                manifest.column("height").to_pylist(),
                manifest.column("width").to_pylist(),
                strict=True,
            )
            sizes["num_regions"] = sum(config.regions.expected_regions(*shape) for shape in shapes)
        created = {**sizes, "amount": total_amount(config.budget, sizes)}
        costs = feature_costs(config, created, len(dataset.splits["val"]), place)
    except RayALError as error:
        return False, str(error), "correct the configuration"
    return (
        (True, "the network is not frozen, nothing is kept", "")
        if costs is None
        else (costs.fits, costs.text, REMEDY)
    )
