"""No state of a run that `verify` calls sound is unreadable by the commands that read it."""

import copy
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from helpers import small_runs

from ray_al.cli import main
from ray_al.datasets.synthetic import write_synthetic

CONFIG = f"""{small_runs.FILE}
final: {{budgets: [4], repeats: 2, train: {{steps: 1}}}}
report: {{num_images: 1}}
"""
READING = ("status", "log", "report")
ABSENT = object()
WRONG: tuple[Any, ...] = (ABSENT, None, -1, 10**9, "x", [], {}, 0.5)
"""What a damaged journal may hold in place of a value."""
SAMPLE = 40
"""Damaged events that are tried where not all are."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two cycles with measured models."""
    folder = tmp_path_factory.mktemp("states")
    write_synthetic(str(folder / "data"), num_images=6, seed=0)
    (folder / "c.yaml").write_text(CONFIG)
    assert run_command("run", str(folder / "c.yaml"), "--out", str(folder / "run")) == (0, None)
    return folder / "run"


def run_command(*arguments: str) -> tuple[int, str | None]:
    """Run a command; return its exit code, and the exception that ended it, if one did."""
    result = CliRunner().invoke(main, list(arguments))
    fault = result.exception
    return result.exit_code, None if fault is None or isinstance(fault, SystemExit) else repr(fault)


def faults_of(run: Path, *commands: str) -> list[tuple[str, int, str | None]]:
    """Return the commands that fail although `verify` calls the run sound."""
    code, fault = run_command("verify", str(run))
    if fault is not None:
        return [("verify", code, fault)]
    if code != 0:
        return []
    ended = [(command, *run_command(command, str(run))) for command in commands]
    return [(command, code, fault) for command, code, fault in ended if (code, fault) != (0, None)]


def events_of(run: Path) -> list[Path]:
    return sorted((run / "journal").iterdir())


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_that_ends_after_any_event_is_read_and_resumed(
    finished: Path, tmp_path: Path, every: int
):
    for kept in range(1, len(events_of(finished)) + 1, every):
        run = tmp_path / f"run-{kept}"
        shutil.copytree(finished, run)
        for event in events_of(run)[kept:]:
            event.unlink()
        assert run_command("verify", str(run)) == (0, None)
        assert faults_of(run, *READING, "resume", "verify") == [], kept
        assert events_of(run)[-1].read_text().count("run_finished") == 1


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(None, id="gone"),
        pytest.param(b"", id="empty", marks=pytest.mark.slow),
        pytest.param(b"\x00\xffnothing", id="other", marks=pytest.mark.slow),
    ],
)
def test_a_damaged_file_is_found_or_does_no_harm(
    finished: Path, tmp_path: Path, damage: bytes | None
):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    for file in sorted(path for path in run.rglob("*") if path.is_file()):
        whole = file.read_bytes()
        if damage is None:
            file.unlink()
        else:
            file.write_bytes(damage)
        assert faults_of(run, *READING) == [], file.relative_to(run)
        file.write_bytes(whole)


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the keys that lead to each value of a JSON object; of a list, to its ends alone."""
    if isinstance(value, dict):
        keys: list[Any] = list(value)
    elif isinstance(value, list):
        keys = sorted({0, len(value) - 1}) if value else []
    else:
        return
    for key in keys:
        yield (*before, key)
        yield from places(value[key], (*before, key))


def damaged(event: dict[str, Any], place: tuple[Any, ...], value: object) -> dict[str, Any] | None:
    """Return the event with another value at a place; None if it is the value that is there."""
    event = copy.deepcopy(event)
    holder: Any = event
    for key in place[:-1]:
        holder = holder[key]
    if value is ABSENT:
        del holder[place[-1]]
    elif holder[place[-1]] == value:
        return None
    else:
        holder[place[-1]] = value
    return event


def damages(run: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return damaged forms of the first event of each kind, with the event's file."""
    found = []
    kinds = set()
    for file in events_of(run):
        event = json.loads(file.read_text())
        if event["kind"] in kinds:
            continue
        kinds.add(event["kind"])
        for place in places(event):
            forms = (damaged(event, place, value) for value in WRONG)
            found += [(file, form) for form in forms if form is not None]
    return found


@pytest.mark.parametrize("count", [SAMPLE, pytest.param(None, marks=pytest.mark.slow)])
def test_a_damaged_event_is_found_or_does_no_harm(
    finished: Path, tmp_path: Path, count: int | None
):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    tried = damages(run)
    assert len(tried) > 1000
    for file, event in tried if count is None else random.Random(0).sample(tried, count):
        whole = file.read_text()
        file.write_text(json.dumps(event))
        assert faults_of(run, *READING) == [], json.dumps(event)[:3000]
        file.write_text(whole)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("colors", [[0, 0, 0]], "colors has 1 values, class_names 6"),
        ("colors", [[0, 0, 256]] * 6, "not values from 0 to 255"),
        ("class_names", ["sky"], "colors has 6 values, class_names 1"),
    ],
)
def test_classes_that_a_report_cannot_paint_are_found(
    finished: Path, tmp_path: Path, key: str, value: object, words: str
):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    file = events_of(run)[0]
    event = json.loads(file.read_text())
    event["data"][key] = value
    file.write_text(json.dumps(event))
    for command, code in (("verify", 1), ("report", 1), ("resume", 1)):
        result = CliRunner().invoke(main, [command, str(run)])
        assert result.exit_code == code, result.output
        assert words in result.output
