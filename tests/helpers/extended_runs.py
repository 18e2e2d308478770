"""Runs of a few seconds that are extended, without Ray."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import invoke
from helpers.small_runs import configure

from ray_al.core.config import RunConfig
from ray_al.ledger import Journal
from ray_al.ledger.events import Event
from ray_al.ledger.records import Record

CLASSES = ("sky", "ground", "building", "tree", "car")
DATA = {
    "dataset": "camvid",
    "class_names": list(CLASSES),
    "ignore_ids": [5],
    "image_size": [32, 48],
}
"""Five of the six classes of the synthetic scenes; the sixth can be added as `sign=5`."""


def configure_five(root: Path, **changes: Any) -> RunConfig:
    """Return a run on five classes of `root/data`, with changed sections."""
    data = {**DATA, **changes.pop("data", {})}
    return configure(root, **{"model": {"name": "helpers.training:tiny"}, **changes, "data": data})


def done(*arguments: object, code: int = 0) -> str:
    """Call `ray-al`, check its exit code, and return what it printed."""
    result = invoke(*arguments)
    assert result.exit_code == code, result.output
    return result.output


def stop_after(num_events: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the journal end a session as a kill does, before it writes a further event."""
    append = Journal.append

    def limited(journal: Journal, record: Record) -> Event:
        if len(journal.events) >= num_events:
            raise KeyboardInterrupt
        return append(journal, record)

    monkeypatch.setattr(Journal, "append", limited)


class Later:
    """Images of `data` that are put away, as if they came later."""

    def __init__(self, data: Path, names: list[str], kept: Path) -> None:
        self.data, self.names, self.kept = data, names, kept
        for folder in ("train", "trainannot"):
            (kept / folder).mkdir(parents=True)
            for name in names:
                shutil.move(data / folder / name, kept / folder / name)

    def come(self, data: Path | None = None) -> None:
        """Put the images back, into `data` if it is given."""
        shutil.copytree(self.kept, data or self.data, dirs_exist_ok=True)


def put_away(root: Path, num_left: int = 6) -> Later:
    """Put the images behind the first `num_left` of `root/data` away."""
    names = sorted(path.name for path in (root / "data" / "train").iterdir())[num_left:]
    return Later(root / "data", names, root / "later")
