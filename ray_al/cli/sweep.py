"""The command that runs a sweep."""

import json
import sys

import click

from ray_al import api
from ray_al.cli.options import echo, json_option, options, set_option
from ray_al.terminal import EXIT_INTERRUPTED, place, show_progress, stop_on_signals


@click.command()
@click.argument("file", required=False, callback=place)
@options(
    click.option(
        "--resume",
        "resume_dir",
        metavar="SWEEP_DIR",
        callback=place,
        help="Continue a sweep from the ledgers of its runs.",
    ),
    click.option(
        "--only",
        multiple=True,
        metavar="NAME",
        help="Run only this trial or setting; * and ? stand for other characters. The others wait "
        "for --resume. Repeatable.",
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
    only: tuple[str, ...],
    dry_run: bool,
    out: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run every setting of the sweep FILE with every seed, on Ray Tune.

    Example: ray-al sweep jobs/sweep_camvid.yaml --set data.root=/data/camvid --out runs/sweep

    Example: ray-al sweep --resume runs/sweep --only random --only 'entropy-*-seed0'
    """
    if (file is None) == (resume_dir is None):
        raise click.UsageError("give either a sweep FILE or --resume SWEEP_DIR")
    if resume_dir is not None and (overrides or dry_run or out):
        raise click.UsageError(
            "--resume continues the sweep as it was planned; leave --set, --out and --dry-run out"
        )
    if file is not None and dry_run:
        _estimate(file, out, overrides, only, as_json)
        return
    if file is not None:
        resume_dir = api.new_sweep(api.load_sweep(file, overrides), out, only=only)
        click.echo(f"sweep directory: {resume_dir}", err=True)
    assert resume_dir is not None
    sys.exit(_drive(resume_dir, only, as_json))


def _estimate(
    file: str, out: str | None, overrides: tuple[str, ...], only: tuple[str, ...], as_json: bool
) -> None:
    """Print the plan of a sweep and its costs."""
    from ray_al.driver.create import default_run_uri
    from ray_al.sweep.create import check_sweep, open_new
    from ray_al.sweep.endpoint import endpoint_lines
    from ray_al.sweep.estimate import estimate, estimate_text
    from ray_al.sweep.plan import choose_trials

    settings = api.load_sweep(file, overrides)
    if out is not None:
        open_new(out)
    trials = check_sweep(settings)
    chosen = choose_trials(settings, trials, only)
    found = estimate(settings, chosen, out or default_run_uri(settings.name))
    endpoint = settings.endpoint and settings.endpoint.model_dump(mode="json")
    text = "\n".join([estimate_text(found), *endpoint_lines(settings, trials)])
    echo({**found.as_dict(), "endpoint": endpoint}, text, as_json=as_json)


def _drive(sweep_dir: str, only: tuple[str, ...], as_json: bool) -> int:
    """Continue a sweep, show its progress, print its table, and return the exit code."""
    from ray_al.sweep.table import sweep_table, sweep_text

    with stop_on_signals() as stop, show_progress() as show:
        done = api.resume_sweep(sweep_dir, only=only, should_stop=stop.is_set, on_progress=show)
    table = sweep_table(sweep_dir)
    click.echo(json.dumps(table.as_dict(), indent=1) if as_json else sweep_text(table))
    if not done.is_complete:
        reason = "a limit of the sweep is reached"
        if stop.is_set():
            reason = "interrupted"
        elif only:
            reason = "other trials wait"
        remedy = f"ray-al sweep --resume {sweep_dir}"
        click.echo(f"{reason}; nothing is lost. Continue with: {remedy}", err=True)
        return EXIT_INTERRUPTED if stop.is_set() else 0
    return 1 if any(row.state == "failed" for row in table.trials) else 0
