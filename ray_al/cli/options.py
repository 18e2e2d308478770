"""Arguments, options and output that several commands share."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import click

from ray_al.terminal import place

Function = TypeVar("Function", bound=Callable[..., object])
Decorator = Callable[[Function], Function]


def options(*given: Decorator[Function]) -> Decorator[Function]:
    """Return a decorator that adds the options in the order in which the help lists them."""

    def apply(function: Function) -> Function:
        for option in reversed(given):
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


def echo(facts: Mapping[str, object] | Sequence[object], text: str, *, as_json: bool) -> None:
    """Print `facts` as JSON, or `text` for people."""
    click.echo(json.dumps(facts, indent=1) if as_json else text)
