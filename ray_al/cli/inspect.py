"""Commands that read a run: its status, its events, its integrity, its report."""

import json
from collections.abc import Iterator, Mapping
from shlex import quote
from typing import Any

import click

from ray_al.cli.options import echo, json_option, options, run_dir_argument
from ray_al.cli.run import say_labels, waiting_line
from ray_al.directories import open_place, open_run, open_writable_run
from ray_al.ledger import Event, Journal
from ray_al.ledger.records import RunExtended, ValidationClosed


@click.command()
@options(run_dir_argument, json_option)
def status(run_dir: str, as_json: bool) -> None:
    """Show the status of a run, or of every run of a sweep.

    Example: ray-al status runs/first --json
    """
    from ray_al.driver.status import read_status

    if open_place(run_dir).exists("sweep.yaml"):
        from ray_al.sweep.table import sweep_table, sweep_text

        table = sweep_table(run_dir)
        echo(table.as_dict(), sweep_text(table), as_json=as_json)
        return
    facts = read_status(open_run(run_dir).storage)
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    for line in _status_lines(facts, run_dir):
        click.echo(line)
    say_labels(facts)


def _status_lines(facts: dict[str, Any], run_dir: str) -> Iterator[str]:
    from ray_al.driver.status import KILLED, measured_line, miou_text, quarantine_lines
    from ray_al.report.validation import validation_lines

    budget = facts["budget"]
    yield f"{facts['run']}: {facts['stage']}, cycle {facts['cycle']}"
    if facts["stage"] == KILLED:
        yield f"its process has ended; nothing recorded is lost: ray-al resume {quote(run_dir)}"
    yield (
        f"budget: {budget['spent']} of {budget['amount']} {budget['unit']} spent, "
        f"{budget['reserved']} reserved"
    )
    score = miou_text(facts) or "mIoU -"
    yield score.replace("mIoU ", "mIoU: ", 1) if score.startswith("mIoU ") else score
    if line := measured_line(facts):
        yield line
    yield from (f"extended: {line}" for line in facts["extensions"])
    if facts["tasks"]:
        yield waiting_line(facts["tasks"], run_dir)
    yield from validation_lines(facts["validation"])
    yield from quarantine_lines(facts)
    for image_id, error in facts["quarantine"].items():
        yield f"quarantined {image_id}: {error}"


@click.command()
@options(run_dir_argument, json_option)
def log(run_dir: str, as_json: bool) -> None:
    """Print the events of a run's ledger; with --json, one JSON object a line.

    Example: ray-al log runs/first
    """
    for event in Journal(open_run(run_dir).storage).events:
        click.echo(json.dumps(json.loads(event.to_bytes())) if as_json else event_line(event))


SHOWN_OF_EXTENSIONS = ("added_classes", "renamed_classes", "changes")
"""What `log` shows of the event of an extension, besides its numbers."""


def event_line(event: Event) -> str:
    """Return an event as one line for people: number, time, kind and its plain values."""
    shown = {key: value for key, value in event.data.items() if _is_shown(key, value)}
    if event.kind == "model_measured":
        shown["miou"] = event.data["metrics"]["val"]["miou"]
    if isinstance(event.record, RunExtended):
        changes = {key: value for key, value in event.data.items() if key in SHOWN_OF_EXTENSIONS}
        shown |= changes | {name: len(event.data.get(name, ())) for name in ("removed", "returned")}
    if isinstance(event.record, ValidationClosed):
        shown["num_images"] = len(event.record.masks)
    if event.kind in ("images_quarantined", "images_restored"):
        shown["images"] = [_image_id(image) for image in event.data["images"]]
    return f"{event.sequence:5d}  {event.time}  {event.kind:20s} {json.dumps(shown)}"


def _is_shown(key: str, value: object) -> bool:
    plain = isinstance(value, int | float | str) and key != "config_yaml"
    return plain or key == "left_out"


def _image_id(image: str | Mapping[str, str]) -> str:
    return image if isinstance(image, str) else image["image_id"]


@click.command()
@options(run_dir_argument, json_option)
def verify(run_dir: str, as_json: bool) -> None:
    """Check that a run's journal, queries, scores, labels, budget and files agree.

    Example: ray-al verify runs/first
    """
    from ray_al.driver.verify import verify as check

    open_run(run_dir)
    facts = check(run_dir)
    text = (
        f"ok: {facts['events']} events, {facts['files']} files, "
        f"{facts['labelled_regions']} labelled regions, {facts['spent']} spent"
    )
    click.echo(json.dumps(facts) if as_json else text)


@click.command()
@options(run_dir_argument, json_option)
def report(run_dir: str, as_json: bool) -> None:
    """Write report.html and curve.csv of a run.

    Example: ray-al report runs/first
    """
    path = open_writable_run(run_dir).write_report()
    click.echo(json.dumps({"report": path}) if as_json else path)
