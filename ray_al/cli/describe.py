"""Commands that describe what there is: settings, components, this machine."""

import json
import sys

import click

from ray_al import api
from ray_al.cli.options import json_option, options
from ray_al.terminal import place


@click.command()
@click.argument("key", required=False)
@options(
    click.option("--sweep", "of_sweep", is_flag=True, help="The keys of a sweep file."), json_option
)
def config(key: str | None, of_sweep: bool, as_json: bool) -> None:
    """Print what each configuration key means, with its type, range and default; as JSON Schema
    with --json.

    Example: ray-al config train.learning_rate
    """
    from ray_al.core.config import RunConfig
    from ray_al.reference import reference_text, schema_of
    from ray_al.sweep.config import SweepConfig

    model = SweepConfig if of_sweep else RunConfig
    if as_json:
        click.echo(json.dumps(schema_of(model, key), indent=1))
    else:
        click.echo(reference_text(model, key))


@click.command()
@json_option
def strategies(as_json: bool) -> None:
    """List what a strategy is made of: scores, batch rules, start rules, regions, labels and
    units, with source, needs and cost.

    Example: ray-al strategies
    """
    from ray_al.driver.catalog import count_combinations, list_strategies

    rows = list_strategies()
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        cost = f"{row['cost']:5.2f} x entropy" if row["cost"] is not None else ""
        name = f"{row['kind']:8s} {row['name']:22s}"
        click.echo(f"{name} {row['needs']:42s} {cost:15s} {row['paper']}")
    click.echo(
        f"{count_combinations()} combinations of score and batch rule; "
        "a score may also be your own function: package.module:function"
    )


@click.command()
@options(
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
    """Check the environment and say how to mend what is missing.

    Example: ray-al doctor --storage s3://bucket/runs
    """
    from ray_al.doctor import diagnose

    checks = diagnose(storage, api.load_config(file) if file is not None else None)
    if as_json:
        click.echo(json.dumps([check.as_dict() for check in checks], indent=1))
    else:
        for check in checks:
            remedy = "" if check.ok else f" -> {check.remedy}"
            click.echo(f"{'ok  ' if check.ok else 'FAIL'} {check.check}: {check.found}{remedy}")
    sys.exit(0 if all(check.ok for check in checks) else 1)
