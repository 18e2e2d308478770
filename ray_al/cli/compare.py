"""Commands that compare: runs with each other, and a run with what it might have chosen."""

import click

from ray_al import api
from ray_al.cli.options import echo, json_option, options, run_dir_argument, set_option
from ray_al.directories import open_run
from ray_al.terminal import place

_compare_options = options(
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
        help="Compare the models that choose, or those that are measured. "
        "Default: the second if every run has them.",
    ),
    click.option(
        "--reference",
        metavar="STRATEGY",
        help="Strategy that labels are saved against. "
        "Default: random; with --by cost, random whole images.",
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
        help="At equal budgets, or by what it costs to reach 80, 90 and 95 % of the full score, "
        "also over other regions and units. Default: budget.",
    ),
    click.option(
        "--seconds",
        multiple=True,
        metavar="NAME=SECONDS",
        help="Cost model: seconds for an image, a region, a class, a click; repeatable.",
    ),
    click.option(
        "--export",
        metavar="DIR",
        callback=place,
        help="Also write the finished runs as small files, which `compare` reads like a sweep.",
    ),
    json_option,
)


@click.command()
@click.argument(
    "places", nargs=-1, required=True, metavar="RUN_DIR|SWEEP_DIR|RESULTS_DIR...", callback=place
)
@_compare_options
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
    """Compare runs over seeds: curves with intervals, labels saved, paired tests, costs; from
    ledgers or committed results.

    Example: ray-al compare runs/sweep --out runs/sweep/comparison
    """
    from ray_al.compare.costs import parse_costs
    from ray_al.core.config import parse_share

    if out is None and export is None:
        raise click.UsageError(
            "give --out DIR for the comparison, --export DIR for the runs as small files, or both"
        )
    shares = [parse_share(text, name="--at") for text in at]
    if by == "cost" and shares:
        raise click.UsageError(
            "--at names budgets, and --by cost compares at equal scores; leave one out"
        )
    compared = api.compare_runs(
        places,
        out,
        export=export,
        measure=measure,
        at=shares,
        reference=reference,
        allow=allow,
        by=by,
        costs=parse_costs(seconds),
    )
    echo(compared.facts, compared.text, as_json=as_json)


@click.command()
@options(run_dir_argument, set_option, json_option)
def replay(run_dir: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Show what another strategy would have chosen from a run's stored scores.

    Example: ray-al replay runs/first --set strategy.batch.kind=power --set strategy.batch.beta=2
    """
    from ray_al.replay.replayed import replay_text
    from ray_al.replay.run import replay as replay_run

    open_run(run_dir)
    replayed = replay_run(run_dir, overrides)
    echo(replayed.as_dict(), replay_text(replayed), as_json=as_json)
