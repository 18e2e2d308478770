"""Log the learning curve of a single run; sweeps log theirs through callbacks of Tune."""

import importlib.util
import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError, StorageError
from ray_al.core.families.trackers import TrackedRun, Tracker
from ray_al.core.notes import read_note
from ray_al.core.run_dir import RunDir
from ray_al.core.storage import Storage
from ray_al.ledger import State
from ray_al.report.curve import MEASURED_COLUMNS
from ray_al.report.rows import curve_rows

logger = logging.getLogger(__name__)


def check_tracking(config: RunConfig) -> None:
    """Refuse trackers whose package is not installed.

    Raises:
        ConfigError: naming the package.
    """
    for tracker in config.tracking.trackers:
        package = tracker.package
        if package is not None and importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"tracking needs the package {package}, which is not installed; "
                f"pip install {package}"
            )


class CurveLogger:
    """Logs every cycle exactly once, even across restarts; `tracking.json` records what was logged.

    A service that does not answer causes a warning only: a curve that cannot be shown elsewhere is
    no reason to stop a run.
    """

    def __init__(self, storage: Storage, config: RunConfig) -> None:
        self.storage, self.config = storage, config
        self.memory: dict[str, dict[str, Any]] = {
            kind: memory
            for kind, memory in read_note(storage, RunDir.TRACKING).items()
            if memory and _is_memory(memory)
        }
        """The memory of each kind of tracker: the cycles that it has logged."""

    def __call__(self, state: State, *, left_out: int | None = None) -> None:
        """Log the cycles that are new.

        Args:
            left_out: a cycle whose models are still to be measured; it is logged with them.
        """
        for tracker in self.config.tracking.trackers:
            rows = [row for row in curve_rows(state) if row["cycle"] != left_out]
            if news := list(_news(rows, self.memory.get(tracker.kind, {}))):
                self._log(tracker, news)

    def _log(self, tracker: Tracker, rows: list[dict[str, Any]]) -> None:
        memory = self.memory.setdefault(tracker.kind, {})
        run = TrackedRun(
            storage=self.storage, name=self.config.name, settings=flat_settings(self.config)
        )
        try:
            for row in rows:
                numbers = {
                    key: float(value)
                    for key, value in row.items()
                    if isinstance(value, int | float)
                }
                tracker.tell(run, row["cycle"], numbers, memory)
                memory["told"] = max(row["cycle"], memory.get("told", -1))
                if "final_miou" in numbers:
                    memory["measured"] = row["cycle"]
        except Exception as error:  # any of many kinds, by service and network
            logger.warning(
                "tracking.%s: cycle %s was not logged: %s", tracker.kind, rows[0]["cycle"], error
            )
        try:
            self.storage.replace(RunDir.TRACKING, json.dumps(self.memory).encode())
        except (StorageError, OSError) as error:
            logger.warning(
                "%s: not written; what was logged may be logged again: %s",
                self.storage.uri(RunDir.TRACKING),
                error,
            )


def _is_memory(kept: Any) -> bool:
    """Return whether `kept` is the memory of one tracker, as `_log` writes it."""
    cycles = ("told", "measured")
    return (
        isinstance(kept, dict)
        and all(isinstance(kept.get(key, -1), int) for key in cycles)
        and isinstance(kept.get("run_id", ""), str)
    )


def _news(rows: list[dict[str, Any]], memory: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the rows that were not logged, and new measurements of rows that were.

    The models of the last cycle may be measured late.
    """
    for row in rows:
        if row["cycle"] > memory.get("told", -1):
            yield row
        elif row["final_miou"] is not None and row["cycle"] > memory.get("measured", -1):
            yield {key: row[key] for key in ("cycle", *MEASURED_COLUMNS)}


def flat_settings(config: RunConfig) -> dict[str, Any]:
    """Flatten the configuration to dotted keys, for services that filter by settings."""

    def flat(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in values.items():
            if isinstance(value, Mapping):
                found.update(flat(value, f"{prefix}{key}."))
            else:
                found[f"{prefix}{key}"] = value
        return found

    return flat(config.model_dump(mode="json", exclude={"tracking"}), "")
