"""What a run is doing now: `status.json`, replaced in one step. A convenience; the journal alone is the truth."""

import datetime
import json
import time
from typing import Any

from ray_al.core.storage import Storage
from ray_al.ledger import Journal, State, fold

NAME = "status.json"
INTERVAL_S = 0.5


class StatusFile:
    """Writes progress at most twice a second."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._written, self._stage, self._since = 0.0, "", time.monotonic()

    def note(self, state: State, stage: str, done: int = 0, total: int = 0, waiting: str = "") -> None:
        """Tell how far a stage is, and what it is `waiting` for, if it is."""
        now = time.monotonic()
        if stage == self._stage and (done != total or waiting) and now - self._written < INTERVAL_S:
            return
        if stage != self._stage or done == 0:
            self._stage, self._since = stage, now
        self._written = now
        elapsed = now - self._since
        values = {
            "stage": stage,
            "cycle": state.cycle,
            "done": done,
            "total": total,
            "waiting": waiting,
            "seconds_left": round(elapsed / done * (total - done), 1) if done and total else None,
            "updated_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        self.storage.replace(NAME, json.dumps(values).encode())


def read_status(storage: Storage) -> dict[str, Any]:
    """The facts that `ray-al status --json` prints."""
    state = fold(Journal(storage).events)
    live = json.loads(storage.read(NAME)) if storage.exists(NAME) else {}
    last = state.trained.get(max((cycle for cycle in state.trained if cycle >= 0), default=-2), {})
    waiting = bool(state.queries) and not state.queries[-1].closed and state.queries[-1].tasks is not None
    stage = "finished" if state.finished else live.get("stage", "created")
    return {
        "run": state.created["name"],
        "stage": stage,
        "cycle": state.cycle,
        "done": live.get("done", 0) if not state.finished else 0,
        "total": live.get("total", 0) if not state.finished else 0,
        "waiting": live.get("waiting", "") if not state.finished else "",
        "seconds_left": live.get("seconds_left") if not state.finished else None,
        "budget": {"unit": state.created["unit"], "amount": state.amount, "spent": state.spent, "reserved": state.reserved},
        "miou": last["metrics"]["val"]["miou"] if last.get("metrics") else None,
        "labelled_regions": state.labelled_regions,
        "quarantined": len(state.quarantined),
        "quarantine": dict(state.quarantined),
        "refused": list(state.refused),
        "tasks": storage.uri(state.queries[-1].tasks or "") if waiting else None,
        "finished": state.finished,
        "updated_at": max(state.updated_at, live.get("updated_at", "")),
    }
