"""One run of a sweep: forks the shared start of its seed, runs the loop, reports every cycle."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from ray_al.core.config import RunConfig
from ray_al.core.errors import RunHeldError
from ray_al.core.storage import Storage
from ray_al.driver.create import create_run
from ray_al.driver.fork import fork_run
from ray_al.driver.lease import STALE_S
from ray_al.driver.loop import run_loop
from ray_al.ledger import Journal, fold
from ray_al.sweep.reporting import Report, Reporter


def host_trial(
    uri: str, config: RunConfig, *, start: str | None, rungs: Sequence[float], report: Report
) -> None:
    """Create the run `uri` if it does not exist yet, and continue it to its end.

    Args:
        start: a run to fork, used once it has trained cycle 0's model.
        rungs: budgets, as shares of the pool in the budget's unit, at which trials are compared.
        report: called with one row per cycle and one row per rung, also those before a restart.

    Raises:
        RayALError: the run failed; it can be resumed.
    """
    storage = Storage(uri)
    if not storage.exists(Journal.FIRST):
        storage.remove("")  # files of an attempt that ended before its first event
        if start is not None and _has_model(Storage(start)):
            fork_run(start, config, uri)
        else:
            create_run(config, uri)
    reporter = Reporter(rungs, report)
    _patiently(lambda: run_loop(uri, on_trained=reporter))


def share_features(config: RunConfig, sweep_uri: str) -> RunConfig:
    """Return `config` with its features kept below the sweep's directory.

    A configuration that names a place of its own for features keeps it.
    """
    if not config.model.is_frozen:
        return config
    store = config.features.store.below(sweep_uri)
    features = config.features.model_copy(update={"store": store})
    return config.model_copy(update={"features": features})


def _has_model(start: Storage) -> bool:
    return start.exists(Journal.FIRST) and 0 in fold(Journal(start).events).trained


def _patiently(run: Callable[[], Any]) -> None:
    """Call `run`, again while the process that held the run, killed a moment ago, is ending."""
    deadline = time.monotonic() + 2 * STALE_S
    while True:
        try:
            run()
            return
        except RunHeldError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
