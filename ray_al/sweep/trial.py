"""One run of a sweep: made from the shared start of its seed, carried on by the one loop, told of at each cycle."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray_al.core.config import RunConfig
from ray_al.core.errors import RunHeldError
from ray_al.core.families.units import UNITS
from ray_al.core.notes import read_note
from ray_al.core.storage import Storage, join_uri
from ray_al.driver.create import create_run
from ray_al.driver.fork import fork_run
from ray_al.driver.lease import STALE_S
from ray_al.driver.loop import run_loop
from ray_al.ledger import Journal, State, fold
from ray_al.report.rows import curve_rows

Report = Callable[[Mapping[str, Any]], None]


def host_trial(
    uri: str, config: RunConfig, *, start: str | None, rungs: Sequence[float], report: Report
) -> None:
    """Create the run `uri` if it is not there yet, and carry it on to its end.

    Args:
        start: the run to begin with, if it has come to cycle 0's model.
        rungs: budgets, as shares of the pool in the budget's unit, at which trials are compared.
        report: told a row a cycle and a row a rung, those of before a restart too.

    Raises:
        RayALError: the run failed; it can be resumed.
    """
    storage = Storage(uri)
    if not _has_begun(storage):
        storage.remove("")  # what an attempt wrote that ended before its first event
        if (
            start is not None
            and _has_begun(Storage(start))
            and 0 in fold(Journal(Storage(start)).events).trained
        ):
            fork_run(start, config, uri)
        else:
            create_run(config, uri)
    told = Reporter(rungs, report)
    _patiently(lambda: run_loop(uri, on_trained=told))


def share_features(config: RunConfig, sweep_uri: str) -> RunConfig:
    """`config` with its features below the sweep's directory, unless it names a place of its own."""
    if not config.model.is_frozen:
        return config
    store = config.features.store.below(sweep_uri)
    return config.model_copy(
        update={"features": config.features.model_copy(update={"store": store})}
    )


def _has_begun(storage: Storage) -> bool:
    return storage.exists(Journal.FIRST)


def _patiently(run: Callable[[], Any]) -> None:
    """The process that held the run, killed a moment ago, may still be ending."""
    deadline = time.monotonic() + 2 * STALE_S
    while True:
        try:
            run()
            return
        except RunHeldError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


class Reporter:
    """Turns states into reports: one a cycle, and one a rung with the mIoU at exactly the rung's budget."""

    def __init__(self, rungs: Sequence[float], report: Report) -> None:
        self.rungs, self.report = sorted(rungs), report
        self._told = 0

    def __call__(self, state: State) -> None:
        rows = budget_rows(state)
        for index in range(self._told, len(rows)):
            before, row = rows[index - 1] if index else None, rows[index]
            for rung in self.rungs:
                if is_crossed(rung, before, row):
                    self.report(
                        {
                            "budget": rung,
                            "rung_miou": interpolate(rung, before, row),
                            "cycle": row["cycle"],
                        }
                    )
            self.report(row)
        self._told = len(rows)


def budget_rows(state: State) -> list[dict[str, Any]]:
    """What a cycle reports; `budget` is what was spent, as a share of the pool in the budget's unit, of clicks as a share of the budget."""
    total = UNITS.find(state.created.unit).of_pool(state.created.sizes) or state.amount
    names = (
        "cycle",
        "miou",
        "pixel_accuracy",
        "labelled_regions",
        "labelled_pixels",
        "labelled_images",
        "cost",
    )
    rows = [
        {**{name: row[name] for name in names}, "budget": row["cost"] / total, "unit": 1 / total}
        for row in curve_rows(state)
    ]
    spent = len(rows) - 1 if state.remaining <= 0 else None
    return [
        {**row, "aubc": _aubc(rows[: index + 1]), "whole": index == spent}
        for index, row in enumerate(rows)
    ]


def _aubc(rows: Sequence[Mapping[str, Any]]) -> float:
    from ray_al.sweep.curves import aubc

    return aubc([row["budget"] for row in rows], [row["miou"] for row in rows])


def is_crossed(rung: float, before: Mapping[str, Any] | None, row: Mapping[str, Any]) -> bool:
    """Whether the curve reached `rung` between two rows. A rung below the first row, by more than whole units round, is never reached."""
    reached = row["budget"] >= rung - 1e-9
    return reached and (
        row["budget"] < rung + row["unit"] if before is None else before["budget"] < rung - 1e-9
    )


def interpolate(rung: float, before: Mapping[str, Any] | None, row: Mapping[str, Any]) -> float:
    """mIoU at the budget `rung`, on the line between two rows."""
    if before is None or abs(row["budget"] - rung) <= 1e-9:
        return float(row["miou"])
    weight = (rung - before["budget"]) / (row["budget"] - before["budget"])
    return float(before["miou"] + weight * (row["miou"] - before["miou"]))


def outcome_file(name: str) -> str:
    return f"outcomes/{name}.json"


def write_outcome(sweep_uri: str, name: str, **facts: Any) -> None:
    """Record that a trial failed or was stopped; a finished one's ledger says so itself."""
    Storage(sweep_uri).replace(
        outcome_file(name), json.dumps(facts, indent=1, allow_nan=False).encode()
    )


def read_outcome(storage: Storage, name: str) -> dict[str, Any]:
    """What `write_outcome` recorded; empty where it is damaged: the trial is then carried on."""
    outcome = read_note(storage, outcome_file(name))
    return outcome if outcome.get("state") in ("failed", "stopped") else {}


def start_uri(sweep_uri: str, digest: str) -> str:
    return join_uri(sweep_uri, "starts", digest)
