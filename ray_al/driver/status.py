"""Report what a run is doing now.

Its progress is in `status.json`, which is replaced atomically. Nothing depends on that file: what
has happened is recorded in the journal.
"""

import datetime
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ray_al.core.errors import StorageError
from ray_al.core.notes import read_note
from ray_al.core.run_dir import RunDir
from ray_al.core.storage import Storage
from ray_al.driver.lease import is_held
from ray_al.ledger import Journal, State, fold
from ray_al.report.extensions import extension_lines
from ray_al.report.left_out import labels_left_out
from ray_al.report.validation import validation_facts

logger = logging.getLogger(__name__)
INTERVAL_S = 0.5
AT_REST = ("created", "waiting", "finished", "interrupted", "failed")
"""Stages of a run that no process drives."""
KILLED = "killed"
"""The stage of a run whose process ended before it could say so."""


class StatusFile:
    """Writes progress at most twice a second; a run continues if it cannot be written."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._written, self._stage, self._since = 0.0, "", time.monotonic()
        self._failing = False

    def note(
        self, state: State, stage: str, done: int = 0, total: int = 0, waiting: str = ""
    ) -> None:
        """Write how far a stage is, and what it is `waiting` for, if anything."""
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
            "notice": _notice(state),
            "updated_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        try:
            # Not synced: to wait for a disk twice a second took 6 % of the time of training a head.
            self.storage.replace(RunDir.STATUS, json.dumps(values).encode(), synced=False)
        except (StorageError, OSError) as error:
            if not self._failing:
                logger.warning("%s: not written: %s", self.storage.uri(RunDir.STATUS), error)
            self._failing = True
        else:
            self._failing = False


def read_live(storage: Storage) -> dict[str, Any]:
    """Read `status.json`; return an empty dict if it is missing or damaged.

    Returns:
        `stage`, `cycle`, `done`, `total`, `seconds_left`, `updated_at` and maybe `waiting` and
        `notice`.
    """
    values = read_note(storage, RunDir.STATUS)
    kinds: dict[str, Any] = {
        "stage": str,
        "cycle": int,
        "done": int,
        "total": int,
        "seconds_left": int | float | None,
        "updated_at": str,
    }
    for name, kind in kinds.items():
        if name not in values or not isinstance(values[name], kind):
            return {}
    return values


class ProgressTeller:
    """Tells what a run is doing, and once after each training which classes lack labels.

    Args:
        storage: the run directory.
        tell: receives one line; a line that ends in a line break is meant to stay on a terminal.
    """

    def __init__(self, storage: Storage, tell: Callable[[str], None]) -> None:
        self.storage, self.tell = storage, tell
        self._told = ""

    def __call__(self, waiting: str) -> None:
        """Tell what is waited for, or else what the run is doing now."""
        live = read_live(self.storage)
        notice = live.get("notice")
        if isinstance(notice, str) and notice not in ("", self._told):
            self._told = notice
            self.tell(f"{notice}\n")
        self.tell(waiting or progress_line(live))


def progress_line(live: Mapping[str, Any]) -> str:
    """Describe in one line what a run is doing now.

    Args:
        live: the content of its status file, as `read_live` returns it.
    """
    if not live:
        return "starting"
    if live.get("waiting"):
        return f"cycle {live['cycle']}: {live['waiting']}"
    line = f"cycle {live['cycle']}: {live['stage']}"
    if live["total"]:
        line += f" {live['done']}/{live['total']}"
    return line + (f", {live['seconds_left']:.0f} s left" if live["seconds_left"] else "")


def quarantine_lines(facts: dict[str, Any]) -> list[str]:
    """Describe images that a run does without or that came back, for the terminal.

    Args:
        facts: the facts of `read_status`.
    """
    lines = []
    if facts["restored"]:
        lines.append(
            f"back in the pool: {len(facts['restored'])} image(s) that were mended: "
            f"{_some(facts['restored'])}"
        )
    if facts["quarantine"]:
        lost = sum(facts["left_out"].values())
        cost = f"; with them {lost} labelled region(s) that were paid for" if lost else ""
        back = "" if facts["finished"] else ", and `ray-al resume` takes back what is mended"
        lines.append(
            f"left out: {len(facts['quarantine'])} of {facts['num_images']} pool images, which "
            f"cannot be used{cost}; `ray-al status` says why{back}: "
            f"{_some(list(facts['quarantine']))}"
        )
    return lines


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


def last_measured(state: State) -> dict[str, Any] | None:
    """Return the facts of the models that were measured last; None before the first ones.

    Returns:
        `cycle`, `budget`, the `mious`, their mean `miou` and their `spread`.
    """
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
    """Describe the models that were measured last, for the terminal; None before the first ones.

    Args:
        facts: the facts of `read_status`.
    """
    measured = facts["measured"]
    if measured is None:
        return None
    spread = "" if measured["spread"] is None else f" ± {measured['spread']:.4f}"
    number = len(measured["mious"])
    models = "1 model" if number == 1 else f"{number} models"
    return (
        f"measured: mIoU {measured['miou']:.4f}{spread} of {models} on the labels of "
        f"cycle {measured['cycle']}"
    )


def classes_line(missing: Sequence[str], only: str | None) -> str | None:
    """Describe which classes have no label yet, for the terminal; None if all have one.

    Args:
        missing: names of these classes.
        only: the class of every label, if there is only one.
    """
    if not missing:
        return None
    line = f"no label so far of: {', '.join(missing)}"
    return f"{line}; every label is of {only}" if only else line


def _notice(state: State) -> str:
    """Return what is to be said once about the last training; empty if nothing is."""
    last, line = state.last_trained, classes_line(state.unlabelled_classes, state.only_class)
    return f"cycle {last.cycle}: {line}" if last and line else ""


def miou_text(facts: Mapping[str, Any]) -> str | None:
    """Describe the score of the last model, for the terminal; None before the first one.

    Args:
        facts: the facts of `read_status`.
    """
    if facts["miou"] is not None:
        return f"mIoU {facts['miou']:.4f}"
    if facts["has_validation"] or facts["train_loss"] is None:
        return None
    return f"no validation images and so no mIoU, training loss {facts['train_loss']:.4f}"


def _open_tasks(storage: Storage, state: State) -> str | None:
    """Return the folder in which people find what they are to label now; None if nothing is."""
    folder = None
    if state.validation is not None and state.validation.closed is None:
        folder = state.validation.tasks
    elif state.queries and not state.queries[-1].closed:
        folder = state.queries[-1].tasks
    return None if folder is None else storage.uri(folder)


def read_status(storage: Storage) -> dict[str, Any]:
    """Return the facts that `ray-al status --json` prints."""
    state = fold(Journal(storage).events)
    live = read_live(storage)
    last = state.last_trained
    stage = "finished" if state.finished else live.get("stage", "created")
    if stage not in AT_REST and is_held(storage) is False:
        stage = KILLED
    doing = {} if state.finished or stage == KILLED else live
    return {
        "run": state.created.name,
        "stage": stage,
        "cycle": state.cycle,
        "done": doing.get("done", 0),
        "total": doing.get("total", 0),
        "waiting": doing.get("waiting", ""),
        "seconds_left": doing.get("seconds_left"),
        "budget": {
            "unit": state.created.unit,
            "amount": state.amount,
            "spent": state.spent,
            "reserved": state.reserved,
        },
        "miou": last.val.miou if last and last.val else None,
        "has_validation": state.created.has_validation,
        "train_loss": last.last_loss if last else None,
        "measured": last_measured(state),
        "labelled_regions": state.labelled_regions,
        "quarantined": len(state.quarantined),
        "quarantine": dict(state.quarantined),
        "left_out": labels_left_out(storage, state),
        "restored": [name for name, attempt in state.restored.items() if attempt == state.attempt],
        "num_images": state.sizes.num_images,
        "removed": len(state.removed),
        "extensions": [
            line
            for record in state.extensions
            for line in extension_lines(record, state.created.unit)
        ],
        "refused": [asdict(refusal) for refusal in state.refused],
        "unlabelled_classes": state.unlabelled_classes,
        "only_class": state.only_class,
        "validation": validation_facts(state),
        "tasks": _open_tasks(storage, state),
        "finished": state.finished,
        "updated_at": max(state.updated_at, live.get("updated_at", "")),
    }
