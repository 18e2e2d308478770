"""What a run is doing now: `status.json`, replaced in one step. A convenience; the journal alone is the truth."""

import datetime
import json
import logging
import time
from dataclasses import asdict
from typing import Any

from ray_al.core.errors import StorageError
from ray_al.core.notes import read_note
from ray_al.core.run_dir import RunDir
from ray_al.core.storage import Storage
from ray_al.ledger import Journal, State, fold
from ray_al.report.left_out import labels_left_out

INTERVAL_S = 0.5

logger = logging.getLogger(__name__)


class StatusFile:
    """Writes progress at most twice a second. Where it cannot be written the run goes on: nothing depends on it."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._written, self._stage, self._since = 0.0, "", time.monotonic()
        self._failing = False

    def note(
        self, state: State, stage: str, done: int = 0, total: int = 0, waiting: str = ""
    ) -> None:
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
        try:
            self.storage.replace(RunDir.STATUS, json.dumps(values).encode())
        except (StorageError, OSError) as error:
            if not self._failing:
                logger.warning("%s: not written: %s", self.storage.uri(RunDir.STATUS), error)
            self._failing = True
        else:
            self._failing = False


def read_live(storage: Storage) -> dict[str, Any]:
    """What `status.json` says: `stage`, `cycle`, `done`, `total`, `seconds_left`, `updated_at`; empty where it says nothing that can be used."""
    values = read_note(storage, RunDir.STATUS)
    kinds: dict[str, Any] = {
        "stage": str,
        "cycle": int,
        "done": int,
        "total": int,
        "seconds_left": int | float | None,
        "updated_at": str,
    }
    return (
        values
        if all(name in values and isinstance(values[name], kind) for name, kind in kinds.items())
        else {}
    )


def progress_line(storage: Storage) -> str:
    """One line about what a run is doing now."""
    live = read_live(storage)
    if not live:
        return "starting"
    if live.get("waiting"):
        return f"cycle {live['cycle']}: {live['waiting']}"
    line = f"cycle {live['cycle']}: {live['stage']}"
    if live["total"]:
        line += f" {live['done']}/{live['total']}"
    return line + (f", {live['seconds_left']:.0f} s left" if live["seconds_left"] else "")


def quarantine_lines(facts: dict[str, Any]) -> list[str]:
    """What the terminal says, of the facts of `read_status`, about images that a run does without or that came back."""
    lines = []
    if facts["restored"]:
        lines.append(
            f"back in the pool: {len(facts['restored'])} image(s) that were mended: {_some(facts['restored'])}"
        )
    if facts["quarantine"]:
        lost = sum(facts["left_out"].values())
        cost = f"; with them {lost} labelled region(s) that were paid for" if lost else ""
        back = "" if facts["finished"] else ", and `ray-al resume` takes back what is mended"
        lines.append(
            f"left out: {len(facts['quarantine'])} of {facts['num_images']} pool images, which cannot be used{cost}; "
            f"`ray-al status` says why{back}: {_some(list(facts['quarantine']))}"
        )
    return lines


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


def last_measured(state: State) -> dict[str, Any] | None:
    """Of the models that were measured last: cycle, budget, mIoU of each, their mean and spread; None before the first."""
    if not state.measured:
        return None
    data = state.measured[max(state.measured)]
    return {
        "cycle": data.cycle,
        "budget": data.budget,
        "mious": list(data.mious),
        "miou": data.miou,
        "spread": data.spread,
    }


def measured_line(facts: dict[str, Any]) -> str | None:
    """What the terminal says of the models that were measured last, of the facts of `read_status`."""
    measured = facts["measured"]
    if measured is None:
        return None
    spread = "" if measured["spread"] is None else f" ± {measured['spread']:.4f}"
    number = len(measured["mious"])
    models = "1 model" if number == 1 else f"{number} models"
    return f"measured: mIoU {measured['miou']:.4f}{spread} of {models} on the labels of cycle {measured['cycle']}"


def read_status(storage: Storage) -> dict[str, Any]:
    """The facts that `ray-al status --json` prints."""
    state = fold(Journal(storage).events)
    live = read_live(storage)
    last = state.last_trained
    waiting = (
        bool(state.queries) and not state.queries[-1].closed and state.queries[-1].tasks is not None
    )
    stage = "finished" if state.finished else live.get("stage", "created")
    return {
        "run": state.created.name,
        "stage": stage,
        "cycle": state.cycle,
        "done": live.get("done", 0) if not state.finished else 0,
        "total": live.get("total", 0) if not state.finished else 0,
        "waiting": live.get("waiting", "") if not state.finished else "",
        "seconds_left": live.get("seconds_left") if not state.finished else None,
        "budget": {
            "unit": state.created.unit,
            "amount": state.amount,
            "spent": state.spent,
            "reserved": state.reserved,
        },
        "miou": last.val.miou if last else None,
        "measured": last_measured(state),
        "labelled_regions": state.labelled_regions,
        "quarantined": len(state.quarantined),
        "quarantine": dict(state.quarantined),
        "left_out": labels_left_out(storage, state),
        "restored": [image_id for image_id, term in state.restored.items() if term == state.term],
        "num_images": state.created.num_images,
        "refused": [asdict(refusal) for refusal in state.refused],
        "unlabelled_classes": state.unlabelled_classes,
        "tasks": storage.uri(state.queries[-1].tasks or "") if waiting else None,
        "finished": state.finished,
        "updated_at": max(state.updated_at, live.get("updated_at", "")),
    }
