"""Check this machine: what is there, what is missing and what to do about it.

Each check imports the packages that it is about when it runs: a package that is missing or broken
is a finding, and must not keep the others from being checked.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError, RayALError, StorageError
from ray_al.core.storage import Storage, check_writable


@dataclass(frozen=True)
class CheckResult:
    """The result of one check, with a remedy that counts if it is not `ok`."""

    ok: bool
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Check:
    """One row of `ray-al doctor`; `remedy` is empty if the check is `ok`."""

    check: str
    ok: bool
    found: str
    remedy: str

    def as_dict(self) -> dict[str, str | bool]:
        """Return the row as JSON has it."""
        return asdict(self)


def diagnose(storage: str | None = None, config: RunConfig | None = None) -> list[Check]:
    """Run all checks, in the order in which they are shown.

    Args:
        storage: a place for run directories to try in addition to the default one.
        config: a run's configuration, whose features are counted.
    """
    places = [os.environ.get("RAY_AL_RUNS") or os.path.abspath("runs")]
    if storage:
        places.append(storage)
    checks: dict[str, Callable[[], CheckResult]] = {
        "Python": _python,
        "torch": _torch,
        "CUDA": _cuda,
        "bf16 scoring": _bf16,
        "Ray": _ray,
        "cluster": _cluster,
        "machine": _machine,
    }
    for place in places:
        checks[f"storage {place}"] = partial(_storage, place)
    if config is not None:
        checks["features"] = partial(_features, config, places[-1])
    rows = []
    for name, check in checks.items():
        finding = check()
        remedy = "" if finding.ok else finding.remedy
        rows.append(Check(check=name, ok=finding.ok, found=finding.found, remedy=remedy))
    return rows


def _python() -> CheckResult:
    found = sys.version.split()[0]
    return CheckResult(sys.version_info >= (3, 11), found, "install Python 3.11 or newer")


def _torch() -> CheckResult:
    try:
        import torch
        import torchvision
    except (ImportError, RuntimeError) as error:
        return CheckResult(False, str(error), "pip install 'torch>=2.14' 'torchvision>=0.29'")
    return CheckResult(True, f"{torch.__version__}, torchvision {torchvision.__version__}")


def _cuda() -> CheckResult:
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return CheckResult(True, ", ".join(names) or "none: CPU only")


def _bf16() -> CheckResult:
    from ray_al.scoring.prepare import resolve_precision

    precision = resolve_precision("auto")
    return CheckResult(True, "yes" if precision == "bf16" else "no: this processor scores in fp32")


def _ray() -> CheckResult:
    import ray

    major, minor = map(int, ray.__version__.split(".")[:2])
    remedy = "pip install 'ray[default,data,train,tune]>=2.60'"
    return CheckResult((major, minor) >= (2, 60), ray.__version__, remedy)


def _cluster() -> CheckResult:
    from ray_al.driver.cluster import check_address

    address = os.environ.get("RAY_ADDRESS", "")
    try:
        check_address(address)
    except RayALError as error:
        return CheckResult(False, str(error), "start that cluster, or unset RAY_ADDRESS")
    if address:
        return CheckResult(True, f"RAY_ADDRESS={address}")
    return CheckResult(
        True, "RAY_ADDRESS is not set: a running one is used, else a local one is started"
    )


def _machine() -> CheckResult:
    import psutil

    memory = psutil.virtual_memory().total / 2**30
    return CheckResult(True, f"{os.cpu_count()} CPUs, {memory:.0f} GiB of memory")


def _storage(place: str) -> CheckResult:
    """Try what every run needs of its storage before it begins."""
    try:
        check_writable(place, key="storage")
        Storage(place).probe()
    except (ConfigError, StorageError) as error:
        message = str(error).removeprefix(f"storage {place!r}: ").removeprefix(f"{place}: ")
        found, _, remedy = message.rpartition("; ")
        return CheckResult(False, found, remedy)
    return CheckResult(True, "writable, refuses to overwrite")


def _features(config: RunConfig, place: str) -> CheckResult:
    """Compare the features that a run below `place` would keep with the space that is left."""
    from ray_al.datasets import open_dataset
    from ray_al.driver.budget import whole_budget
    from ray_al.driver.checks import check_pool
    from ray_al.driver.feature_costs import REMEDY, feature_costs

    try:
        dataset = open_dataset(config.data, asks_people=config.label.validation)
        pool = check_pool(config, dataset)
        manifest, sizes = pool.manifest, pool.sizes
        if not sizes.num_regions:  # superpixels are counted once they are computed
            heights = manifest.column("height").to_pylist()
            widths = manifest.column("width").to_pylist()
            expected = sum(map(config.regions.expected_regions, heights, widths))
            sizes = replace(sizes, num_regions=expected)
        amount = whole_budget(config.budget, sizes)
        costs = feature_costs(config, sizes, amount, len(dataset.splits["val"]), place)
    except RayALError as error:
        return CheckResult(False, str(error), "correct the configuration")
    if costs is None:
        return CheckResult(True, "the network is not frozen, nothing is kept")
    return CheckResult(costs.fits, costs.text, REMEDY)
