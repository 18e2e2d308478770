"""Commands that make a run, continue it, or train its final models."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Literal

import click

import ray_al
from ray_al import api
from ray_al.cli.options import echo, json_option, options, out_option, run_dir_argument, set_option
from ray_al.directories import open_writable_run
from ray_al.terminal import EXIT_INTERRUPTED, place, show_progress, stop_on_signals

if TYPE_CHECKING:
    from ray_al.report.metrics import FinalResult

DEMO = Path(ray_al.__file__).parent / "demo.yaml"
EXIT_WAITING = 4
SHOWN = 10
"""How many refused labels the end of a run lists."""


@click.command()
@options(out_option, set_option, json_option)
def demo(out: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Run the main job on a small built-in data set, with a report to open.

    Example: ray-al demo --out /tmp/demo
    """
    sys.exit(_run(str(DEMO), out, overrides, as_json))


@click.command()
@click.argument("config", callback=place)
@options(out_option, set_option, json_option)
def run(config: str, out: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Run active learning as the YAML file CONFIG says.

    Example: ray-al run jobs/camvid_cpu.yaml --set data.root=/data/camvid --out runs/first
    """
    sys.exit(_run(config, out, overrides, as_json))


@click.command()
@options(run_dir_argument, set_option, json_option)
def resume(run_dir: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Continue a run after a stop, a crash, or when people have labelled; --set changes what
    leaves its cycles comparable, such as where it computes and reads.

    Example: ray-al resume runs/first --set data.root=/mnt/camvid
    """
    open_writable_run(run_dir)
    if overrides:
        from ray_al.driver.settings import change_settings

        change_settings(run_dir, overrides)
    sys.exit(_drive(run_dir, as_json))


@click.command()
@click.option(
    "--add-class",
    "add_classes",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="Add a class after the others; VALUE is its id or colour in masks, if that is not the "
    "next id.",
)
@click.option(
    "--rename-class",
    "rename_classes",
    multiple=True,
    metavar="OLD=NEW",
    help="Give a class another name.",
)
@click.option(
    "--budget",
    metavar="AMOUNT",
    help="Raise or lower the whole budget; shares are of the pool that the run began with.",
)
@click.option("--dry-run", is_flag=True, help="Check and say what would change; write nothing.")
@options(run_dir_argument, set_option, json_option)
def extend(
    run_dir: str,
    add_classes: tuple[str, ...],
    rename_classes: tuple[str, ...],
    budget: str | None,
    overrides: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Add new images of the data set to a run and remove those that are gone; classes, the budget
    and where it computes and reads can change too. Continue with `ray-al resume`.

    Example: ray-al extend runs/first --add-class kerb --budget 400 --dry-run
    """
    facts = api.extend(
        run_dir,
        add_classes=add_classes,
        rename_classes=rename_classes,
        budget=budget,
        overrides=overrides,
        dry_run=dry_run,
    )
    echo(facts, _extended_text(facts, run_dir), as_json=as_json)


def _extended_text(facts: Mapping[str, Any], run_dir: str) -> str:
    """Return what `extend` changed, or would change, one line each."""
    if not facts["changed"]:
        return "nothing to change: the pool has all images of the data set"
    end = (
        "nothing was written (--dry-run)"
        if facts["dry_run"]
        else f"recorded; continue with: ray-al resume {quote(run_dir)}"
    )
    return "\n".join([*facts["lines"], end])


@click.command()
@options(run_dir_argument, json_option)
def final(run_dir: str, as_json: bool) -> None:
    """Train the final model, or final.repeats of them, on the regions that a run selected.

    Example: ray-al final runs/first
    """
    _final(run_dir, "final", as_json)


@click.command("upper-bound")
@options(run_dir_argument, json_option)
def upper_bound(run_dir: str, as_json: bool) -> None:
    """Train the final recipe on all labels of the pool, for comparison.

    Example: ray-al upper-bound runs/first
    """
    _final(run_dir, "upper_bound", as_json)


def _run(config: str, out: str | None, overrides: tuple[str, ...], as_json: bool) -> int:
    with api.new_run(api.load_config(config, overrides), out) as run_dir:
        click.echo(f"run directory: {run_dir}", err=True)
        return _drive(run_dir, as_json)


def _drive(run_dir: str, as_json: bool) -> int:
    """Continue a run, show its progress, say how it ended, and return the exit code."""
    from ray_al.driver.answers import ignored_answers
    from ray_al.driver.status import read_status

    with stop_on_signals() as stop, show_progress() as show:
        driven = api.resume(run_dir, should_stop=stop.is_set, on_progress=show)
    outcome = driven.outcome
    assert outcome is not None
    facts = read_status(driven.storage)
    facts["outcome"] = outcome.kind
    facts["ignored_answers"] = ignored_answers(driven.storage)
    if outcome.kind == "finished":
        facts["report"] = driven.write_report()
    if as_json:
        click.echo(json.dumps(facts, indent=1))
    else:
        _say_end(facts, run_dir, outcome.detail)
    return {"finished": 0, "waiting": EXIT_WAITING}.get(outcome.kind, EXIT_INTERRUPTED)


def _say_end(facts: Mapping[str, Any], run_dir: str, detail: str) -> None:
    """Print how a run ended, for people."""
    from ray_al.driver.status import measured_line, miou_text, quarantine_lines
    from ray_al.report.validation import validation_lines

    if facts["outcome"] == "finished":
        miou = miou_text(facts) or "no model was trained"
        click.echo(f"finished: {detail}; {miou} with {facts['labelled_regions']} regions labelled")
        if line := measured_line(dict(facts)):
            click.echo(line)
        click.echo(f"report: {facts['report']}")
    elif facts["outcome"] == "waiting":
        click.echo(waiting_line(detail, run_dir))
    else:
        click.echo(f"interrupted; nothing is lost. Continue with: ray-al resume {quote(run_dir)}")
    for line in (*validation_lines(facts["validation"]), *quarantine_lines(dict(facts))):
        click.echo(line)
    say_labels(facts, most=SHOWN, more=f"ray-al status {quote(run_dir)}")


def waiting_line(tasks: str, run_dir: str) -> str:
    """Return what people are to do when a run waits for their labels."""
    return f"waiting for labels: put the answers into {tasks}, then: ray-al resume {quote(run_dir)}"


def say_labels(facts: Mapping[str, Any], *, most: int | None = None, more: str = "") -> None:
    """Print which labels were refused or ignored, and which classes have none.

    Args:
        most: the number of lines of each kind; None prints all.
        more: the command that prints the others.
    """
    from ray_al.driver.status import classes_line
    from ray_al.report.validation import refused_lines

    refused = [
        f"refused {row['image_id']} region {row['region']}: {row['reason']}"
        for row in facts["refused"]
    ]
    ignored = [f"ignored {line}" for line in facts.get("ignored_answers", ())]
    of_validation = list(refused_lines(facts["validation"]))
    for lines in (of_validation, refused, ignored):
        for line in lines[:most]:
            click.echo(line)
        if most is not None and len(lines) > most:
            kind = lines[0].split()[0]
            click.echo(f"and {len(lines) - most} more {kind}; see the refused ones with: {more}")
    if classes := classes_line(facts["unlabelled_classes"], facts["only_class"]):
        click.echo(classes)


def _final(run_dir: str, kind: Literal["final", "upper_bound"], as_json: bool) -> None:
    from ray_al.driver.final import train_final

    open_writable_run(run_dir)
    with stop_on_signals() as stop, show_progress() as show:
        result = train_final(
            run_dir,
            kind,
            progress=lambda done, total: show(f"step {done}/{total}"),
            should_stop=stop.is_set,
            waiting=show,
        )
    echo(result.as_dict(), _final_text(result), as_json=as_json)


def _final_text(result: "FinalResult") -> str:
    """Return one line about the final models, for people."""
    if result.miou is None:
        text = f"trained for {result.num_steps} steps; no validation images and so no mIoU"
    else:
        text = f"mIoU {result.miou:.4f}"
    if result.spread is not None:
        text += f" ± {result.spread:.4f} ({len(result.mious)} models)"
    text += "" if result.miou is None else " on val"
    if result.share_of_full_score is not None:
        text += f", {result.share_of_full_score:.1%} of the full score"
    if result.left_out:
        text += f"; left out: {result.left_out} image(s) that cannot be used, see `ray-al status`"
    return text
