"""The command line: parse, call one function, print."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ray_al import __version__
from ray_al.core.config import load_config
from ray_al.core.errors import ConfigError
from ray_al.core.places import before_work
from ray_al.core.storage import Storage
from ray_al.terminal import EXIT_INTERRUPTED, Group, place, progress, stop_on_signals

EXIT_WAITING = 4
SHOWN = 10
"""Refused labels that the end of a run lists."""
DEMO = Path(__file__).parent / "demo.yaml"


@click.group(
    cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="ray-al")
def main() -> None:
    """Active learning for semantic segmentation on Ray.

    Example: ray-al demo
    """
    if (
        os.getcwd() not in sys.path
    ):  # own modules, as `python -m` finds them; Ray's workers are told of the directory by Ray
        sys.path.append(os.getcwd())


def _options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def apply(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return apply


run_dir_argument = click.argument("run_dir", callback=place)
json_option = click.option("--json", "as_json", is_flag=True, help="Print facts as JSON.")
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a setting, e.g. --set train.steps=100.",
)
out_option = click.option(
    "--out",
    metavar="RUN_DIR",
    callback=place,
    help="Where the run is written (new; a path or URI). Default: $RAY_AL_RUNS or ./runs.",
)


@main.command()
@_options(out_option, set_option, json_option)
def demo(out: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Run the main job on a small built-in data set, with a report to open.

    Example: ray-al demo --out /tmp/demo
    """
    sys.exit(_run(str(DEMO), out, overrides, as_json))


@main.command()
@click.argument("config", callback=place)
@_options(out_option, set_option, json_option)
def run(config: str, out: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Run active learning as the YAML file CONFIG says.

    Example: ray-al run jobs/camvid_cpu.yaml --set data.root=/data/camvid --out runs/first
    """
    sys.exit(_run(config, out, overrides, as_json))


@main.command()
@_options(run_dir_argument, set_option, json_option)
def resume(run_dir: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Go on with a run after a stop, a crash, or when people have labelled; --set changes where it computes and reads.

    Example: ray-al resume runs/first --set data.root=/mnt/camvid
    """
    _require_writable(run_dir)
    if overrides:
        from ray_al.driver.settings import change_settings

        change_settings(run_dir, overrides)
    sys.exit(_drive(run_dir, as_json))


@main.command()
@_options(run_dir_argument, json_option)
def status(run_dir: str, as_json: bool) -> None:
    """Show where a run stands, or every run of a sweep.

    Example: ray-al status runs/first --json
    """
    from ray_al.driver.status import measured_line, quarantine_lines, read_status

    if _open_place(run_dir).exists("sweep.yaml"):
        from ray_al.sweep.table import sweep_table, sweep_text

        table = sweep_table(run_dir)
        click.echo(json.dumps(table.as_dict(), indent=1) if as_json else sweep_text(table))
        return

    facts = read_status(_require_run(run_dir))
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    budget = facts["budget"]
    click.echo(f"{facts['run']}: {facts['stage']}, cycle {facts['cycle']}")
    click.echo(
        f"budget: {budget['spent']} of {budget['amount']} {budget['unit']} spent, {budget['reserved']} reserved"
    )
    click.echo(f"mIoU: {'-' if facts['miou'] is None else format(facts['miou'], '.4f')}")
    if line := measured_line(facts):
        click.echo(line)
    if facts["tasks"]:
        click.echo(
            f"waiting for labels: put the masks into {facts['tasks']}, then: ray-al resume {run_dir}"
        )
    for line in quarantine_lines(facts):
        click.echo(line)
    for image_id, error in facts["quarantine"].items():
        click.echo(f"quarantined {image_id}: {error}")
    _say_labels(facts)


@main.command()
@_options(run_dir_argument, json_option)
def log(run_dir: str, as_json: bool) -> None:
    """Print the events of a run's ledger.

    Example: ray-al log runs/first
    """
    from ray_al.driver.verify import describe
    from ray_al.ledger import Journal

    for event in Journal(_require_run(run_dir)).events:
        click.echo(json.dumps(json.loads(event.to_bytes())) if as_json else describe(event))


@main.command()
@_options(run_dir_argument, json_option)
def verify(run_dir: str, as_json: bool) -> None:
    """Check that a run's journal, queries, scores, labels, budget and files agree.

    Example: ray-al verify runs/first
    """
    from ray_al.driver.verify import verify as check

    _require_run(run_dir)
    facts = check(run_dir)
    text = f"ok: {facts['events']} events, {facts['files']} files, {facts['labelled_regions']} labelled regions, {facts['spent']} spent"
    click.echo(json.dumps(facts) if as_json else text)


@main.command()
@_options(run_dir_argument, json_option)
def final(run_dir: str, as_json: bool) -> None:
    """Train the final model, or final.repeats of them, on the regions that a run selected.

    Example: ray-al final runs/first
    """
    _final(run_dir, "final", as_json)


@main.command("upper-bound")
@_options(run_dir_argument, json_option)
def upper_bound(run_dir: str, as_json: bool) -> None:
    """Train the final recipe on all labels of the pool, for comparison.

    Example: ray-al upper-bound runs/first
    """
    _final(run_dir, "upper_bound", as_json)


@main.command()
@_options(run_dir_argument, json_option)
def report(run_dir: str, as_json: bool) -> None:
    """Write report.html and curve.csv of a run.

    Example: ray-al report runs/first
    """
    _require_writable(run_dir)
    path = _write_report(run_dir)
    click.echo(json.dumps({"report": path}) if as_json else path)


@main.command()
@click.argument("file", required=False, callback=place)
@_options(
    click.option(
        "--resume",
        "resume_dir",
        metavar="SWEEP_DIR",
        callback=place,
        help="Go on with a sweep where its runs' ledgers stand.",
    ),
    click.option("--dry-run", is_flag=True, help="Print the plan with its costs, and run nothing."),
    click.option(
        "--out",
        metavar="SWEEP_DIR",
        callback=place,
        help="Where the sweep is written (new; a path or URI). Default: $RAY_AL_RUNS or ./runs.",
    ),
    set_option,
    json_option,
)
def sweep(
    file: str | None,
    resume_dir: str | None,
    dry_run: bool,
    out: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run every setting of the sweep FILE with every seed, on Ray Tune.

    Example: ray-al sweep jobs/sweep_camvid.yaml --set data.root=/data/camvid --out runs/sweep
    """
    if (file is None) == (resume_dir is None):
        raise click.UsageError("give either a sweep FILE or --resume SWEEP_DIR")
    if resume_dir is not None and (overrides or dry_run or out):
        raise click.UsageError(
            "--resume goes on as the sweep was planned; leave --set, --out and --dry-run out"
        )
    sys.exit(_sweep(file, resume_dir, dry_run, out, overrides, as_json))


@main.command()
@click.argument(
    "places", nargs=-1, required=True, metavar="RUN_DIR|SWEEP_DIR|RESULTS_DIR...", callback=place
)
@_options(
    click.option(
        "--out",
        metavar="DIR",
        callback=place,
        help="Folder for the page, the CSV files, the table and the pictures.",
    ),
    click.option(
        "--at",
        multiple=True,
        metavar="SHARE",
        help="Give mIoU at this share of the pool, e.g. 0.08 or '8 %'; repeatable.",
    ),
    click.option(
        "--measure",
        type=click.Choice(["miou", "final_miou"]),
        help="Compare the models that choose, or those that are measured. Default: the second where every run has them.",
    ),
    click.option(
        "--reference",
        metavar="STRATEGY",
        help="Strategy that labels are saved against. Default: random, with --by cost over whole images.",
    ),
    click.option(
        "--allow",
        multiple=True,
        metavar="KEY",
        help="Configuration key of the recipe that may differ, e.g. train.policy; repeatable.",
    ),
    click.option(
        "--by",
        type=click.Choice(["budget", "cost"]),
        default="budget",
        help="At equal budgets, or by what it costs to reach 80, 90 and 95 % of the full score, also over other regions and units. Default: budget.",
    ),
    click.option(
        "--seconds",
        multiple=True,
        metavar="NAME=SECONDS",
        help="Of the cost model: seconds for an image, a region, a class, a click; repeatable.",
    ),
    click.option(
        "--export",
        metavar="DIR",
        callback=place,
        help="Also write the finished runs as small files, which `compare` reads like a sweep.",
    ),
    json_option,
)
def compare(
    places: tuple[str, ...],
    out: str | None,
    at: tuple[str, ...],
    measure: str | None,
    reference: str | None,
    allow: tuple[str, ...],
    by: str,
    seconds: tuple[str, ...],
    export: str | None,
    as_json: bool,
) -> None:
    """Compare runs over seeds: curves with intervals, labels saved, paired tests, costs; from ledgers or committed results.

    Example: ray-al compare runs/sweep --out runs/sweep/comparison
    """
    from ray_al.compare.costs import parse_costs
    from ray_al.compare.places import Wanted, compare_places
    from ray_al.core.config import RunConfig, parse_share
    from ray_al.core.storage import check_writable
    from ray_al.core.validation import check_key

    if out is None and export is None:
        raise click.UsageError(
            "give --out DIR for the comparison, --export DIR for the runs as small files, or both"
        )
    for folder, name in ((out, "--out"), (export, "--export")):
        if folder is not None:
            check_writable(folder, key=name)
    for key in allow:
        check_key(
            RunConfig,
            key.removeprefix("final.") if key.startswith("final.train.") else key,
            name="--allow",
        )
    shares = tuple(parse_share(text, name="--at") for text in at)
    if by == "cost" and shares:
        raise click.UsageError(
            "--at names budgets, and --by cost compares at equal scores; leave one out"
        )
    wanted = Wanted(
        measure=measure,
        at=shares,
        reference=reference,
        allow=allow,
        by=by,
        costs=parse_costs(seconds),
    )
    for folder in (out, export):
        if folder is not None:
            _open_place(folder)
    facts, text = compare_places(places, wanted, out=out, export=export)
    click.echo(json.dumps(facts, indent=1) if as_json else text)


@main.command()
@_options(run_dir_argument, set_option, json_option)
def replay(run_dir: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Show what another strategy would have chosen from a run's stored scores.

    Example: ray-al replay runs/first --set strategy.batch.kind=power --set strategy.batch.beta=2
    """
    from ray_al.replay import replay as replay_run
    from ray_al.replay import replay_text

    _require_run(run_dir)
    replayed = replay_run(run_dir, overrides)
    click.echo(json.dumps(replayed.as_dict(), indent=1) if as_json else replay_text(replayed))


@main.group()
def datasets() -> None:
    """Look at data before a run.

    Example: ray-al datasets check jobs/camvid_cpu.yaml
    """


@datasets.command("check")
@click.argument("config", callback=place)
@_options(set_option, json_option)
def datasets_check(config: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Read every image and mask of CONFIG's data and count what is wrong (exit 1 if anything is).

    Example: ray-al datasets check jobs/camvid_cpu.yaml --set data.root=/data/camvid
    """
    from ray_al.datasets import open_dataset
    from ray_al.datasets.check import check_dataset

    settings = load_config(config, overrides)
    dataset = open_dataset(settings.data)
    with progress() as show:
        facts = check_dataset(
            dataset,
            progress=lambda done, total: show(f"checked {done} of {total} files"),
            reads_masks=settings.label.annotator.reads_masks,
            too_small=settings.regions.too_small,
        )
    click.echo(json.dumps(facts, indent=1) if as_json else _readable(facts))
    sys.exit(0 if facts["ok"] else 1)


@main.command("config")
@click.argument("key", required=False)
@_options(
    click.option("--sweep", "of_sweep", is_flag=True, help="The keys of a sweep file."), json_option
)
def config_reference(key: str | None, of_sweep: bool, as_json: bool) -> None:
    """Print what each configuration key means, with its type, range and default; as JSON Schema with --json.

    Example: ray-al config train.learning_rate
    """
    from ray_al.core.config import RunConfig
    from ray_al.reference import reference_text, schema_of
    from ray_al.sweep.config import SweepConfig

    model = SweepConfig if of_sweep else RunConfig
    click.echo(
        json.dumps(schema_of(model, key), indent=1) if as_json else reference_text(model, key)
    )


@main.command()
@json_option
def strategies(as_json: bool) -> None:
    """List what a strategy is made of: scores, batch rules, start rules, regions, labels and units, with source, needs and cost.

    Example: ray-al strategies
    """
    from ray_al.driver.catalog import count_combinations, list_strategies

    rows = list_strategies()
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        cost = f"{row['cost']:5.2f} x entropy" if row["cost"] is not None else ""
        click.echo(
            f"{row['kind']:8s} {row['name']:22s} {row['needs']:42s} {cost:15s} {row['paper']}"
        )
    click.echo(
        f"{count_combinations()} combinations of score and batch rule; a score may also be your own function: package.module:function"
    )


@main.command()
@_options(
    click.option("--storage", callback=place, help="Also try this place for run directories."),
    click.option(
        "--config",
        "file",
        metavar="FILE",
        callback=place,
        help="Also count what a run of this configuration keeps of a frozen backbone.",
    ),
    json_option,
)
def doctor(storage: str | None, file: str | None, as_json: bool) -> None:
    """Show what is there, what is missing and what to do.

    Example: ray-al doctor --storage s3://bucket/runs
    """
    from ray_al.doctor import diagnose

    checks = diagnose(storage, load_config(file) if file is not None else None)
    if as_json:
        click.echo(json.dumps(checks, indent=1))
    else:
        for check in checks:
            click.echo(
                f"{'ok  ' if check['ok'] else 'FAIL'} {check['check']}: {check['found']}"
                + ("" if check["ok"] else f" -> {check['remedy']}")
            )
    sys.exit(0 if all(check["ok"] for check in checks) else 1)


def _run(config: str, out: str | None, overrides: tuple[str, ...], as_json: bool) -> int:
    from ray_al.driver.checks import check_places
    from ray_al.driver.cluster import connection
    from ray_al.driver.create import create_run, default_run_uri

    settings = load_config(config, overrides)
    out = out or default_run_uri(settings.name)
    check_places(settings, out)
    with connection() as link:
        run_dir = create_run(settings, out, prepare=link.start)
        click.echo(f"run directory: {run_dir}", err=True)
        return _drive(run_dir, as_json)


def _sweep(
    file: str | None,
    resume_dir: str | None,
    dry_run: bool,
    out: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> int:
    from ray_al.driver.checks import check_places
    from ray_al.driver.create import default_run_uri
    from ray_al.sweep.config import load_sweep
    from ray_al.sweep.create import create_sweep
    from ray_al.sweep.endpoint import check_endpoint, endpoint_lines
    from ray_al.sweep.plan import plan_trials
    from ray_al.sweep.run import run_sweep
    from ray_al.sweep.table import progress_line, sweep_table, sweep_text

    if file is not None:
        settings = load_sweep(file, overrides)
        trials = plan_trials(settings)
        check_endpoint(settings, trials)
        if dry_run:
            from ray_al.sweep.estimate import estimate, estimate_text

            found = estimate(settings, trials, out or default_run_uri(settings.name))
            endpoint = settings.endpoint and settings.endpoint.model_dump(mode="json")
            lines = [estimate_text(found), *endpoint_lines(settings, trials)]
            click.echo(
                json.dumps({**found.as_dict(), "endpoint": endpoint}, indent=1)
                if as_json
                else "\n".join(lines)
            )
            return 0
        out = out or default_run_uri(settings.name)
        check_places(trials[0].config, out)
        resume_dir = create_sweep(settings, out)
        click.echo(f"sweep directory: {resume_dir}", err=True)
    assert resume_dir is not None
    with stop_on_signals() as stop, progress() as show:
        complete = run_sweep(
            resume_dir, show=lambda runs: show(progress_line(runs)), should_stop=stop.is_set
        )
    table = sweep_table(resume_dir)
    click.echo(json.dumps(table.as_dict(), indent=1) if as_json else sweep_text(table))
    if not complete:
        reason = "interrupted" if stop.is_set() else "a limit of the sweep is reached"
        click.echo(
            f"{reason}; nothing is lost. Go on with: ray-al sweep --resume {resume_dir}", err=True
        )
        return EXIT_INTERRUPTED if stop.is_set() else 0
    return 1 if any(row.state == "failed" for row in table.trials) else 0


def _drive(run_dir: str, as_json: bool) -> int:
    """Carry a run on, show its progress, and say how it ended."""
    from ray_al.driver.answers import ignored_answers
    from ray_al.driver.host import run as host_run
    from ray_al.driver.status import measured_line, progress_line, quarantine_lines, read_status

    storage = Storage(run_dir)
    with stop_on_signals() as stop, progress() as show:
        outcome = host_run(
            run_dir,
            should_stop=stop.is_set,
            on_poll=lambda waiting: show(waiting or progress_line(storage)),
        )
    facts = read_status(storage)
    facts["outcome"] = outcome.kind
    facts["ignored_answers"] = ignored_answers(Storage(run_dir))
    if outcome.kind == "finished":
        facts["report"] = _write_report(run_dir)
    if as_json:
        click.echo(json.dumps(facts, indent=1))
    elif outcome.kind == "finished":
        miou = "no model was trained" if facts["miou"] is None else f"mIoU {facts['miou']:.4f}"
        click.echo(
            f"finished: {outcome.detail}; {miou} with {facts['labelled_regions']} regions labelled"
        )
        if line := measured_line(facts):
            click.echo(line)
        click.echo(f"report: {facts['report']}")
    elif outcome.kind == "waiting":
        click.echo(
            f"waiting for labels: put the masks into {outcome.detail}, then: ray-al resume {run_dir}"
        )
    else:
        click.echo(f"interrupted; nothing is lost. Go on with: ray-al resume {run_dir}")
    if not as_json:
        for line in quarantine_lines(facts):
            click.echo(line)
        _say_labels(facts, most=SHOWN, more=f"ray-al status {run_dir}")
    return {"finished": 0, "waiting": EXIT_WAITING}.get(outcome.kind, EXIT_INTERRUPTED)


def _say_labels(facts: dict[str, Any], *, most: int | None = None, more: str = "") -> None:
    """Say which labels were refused or ignored, and which classes have none; `most` lines of each, and where there are `more`."""
    refused = [
        f"refused {row['image_id']} region {row['region']}: {row['reason']}"
        for row in facts["refused"]
    ]
    for lines in (refused, [f"ignored {line}" for line in facts.get("ignored_answers", ())]):
        for line in lines[:most]:
            click.echo(line)
        if most is not None and len(lines) > most:
            click.echo(
                f"and {len(lines) - most} more {lines[0].split()[0]}; see the refused ones with: {more}"
            )
    if facts["unlabelled_classes"]:
        click.echo(f"no label so far of: {', '.join(facts['unlabelled_classes'])}")


def _final(run_dir: str, kind: Any, as_json: bool) -> None:
    from ray_al.driver.final import train_final

    _require_writable(run_dir)
    with stop_on_signals() as stop, progress() as show:
        values = train_final(
            run_dir,
            kind,
            progress=lambda done, total: show(f"step {done} of {total}"),
            should_stop=stop.is_set,
            waiting=show,
        )
    spread = (
        ""
        if values["spread"] is None
        else f" ± {values['spread']:.4f} ({len(values['mious'])} models)"
    )
    share = values.get("share_of_full_score")
    text = f"mIoU {values['miou']:.4f}{spread} on val" + (
        f", {share:.1%} of the full score" if share is not None else ""
    )
    left_out = values["left_out"]
    text += (
        f"; left out: {left_out} image(s) that cannot be used, see `ray-al status`"
        if left_out
        else ""
    )
    click.echo(json.dumps(values, indent=1) if as_json else text)


def _write_report(run_dir: str) -> str:
    import numpy as np

    from ray_al.datasets import masks, open_dataset
    from ray_al.ledger.config import read_config
    from ray_al.report.build import write_report

    config = read_config(Storage(run_dir))
    dataset = open_dataset(config.data)
    counts = np.zeros(256, dtype=np.int64)
    for image in dataset.splits["val"]:
        if image.mask_uri is None:
            raise ConfigError(
                f"{image.uri}: this validation image has no mask any more; put it back"
            )
        counts += np.bincount(
            masks.read_mask(image.mask_uri, dataset.decoder).ravel(), minlength=256
        )
    return write_report(run_dir, counts[: dataset.num_classes].tolist())


def _require_run(run_dir: str) -> Storage:
    from ray_al.core.making import unfinished
    from ray_al.ledger import RUN, Journal

    storage = _open_place(run_dir)
    if storage.exists("sweep.yaml"):
        raise ConfigError(
            f"{run_dir}: a sweep directory; give one of its runs, below {run_dir}/runs, or go on with `ray-al sweep --resume {run_dir}`"
        )
    if not storage.exists(Journal.FIRST):
        rest = f" ({unfinished(storage, RUN)})" if storage.exists() else ""
        raise ConfigError(
            f"{run_dir}: not a run directory (it has no {Journal.FIRST}); give one that `ray-al run` made{rest}"
        )
    return storage


def _open_place(place: str) -> Storage:
    """The storage of a command's argument, once it has answered: what is wrong with a place is said before any work starts."""
    with before_work():
        storage = Storage(place)
        storage.exists()
        return storage


def _require_writable(run_dir: str) -> None:
    from ray_al.core.storage import check_writable

    _require_run(run_dir)
    check_writable(run_dir, key="RUN_DIR")


def _readable(facts: Any) -> str:
    import yaml

    return str(yaml.safe_dump(facts, sort_keys=False, default_flow_style=None, width=110)).rstrip()


if __name__ == "__main__":
    main()
