"""The command line: parse, call one function of `ray_al.api` or of a stage, print.

Commands import at their call, not above, what loads torch or Ray, which takes seconds: most
commands need neither, and `--help` needs nothing.
"""

import os
import sys

import click

from ray_al import __version__
from ray_al.cli import compare, data, describe, inspect, predict, run, sweep
from ray_al.terminal import CommandGroup


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="ray-al")
def main() -> None:
    """Active learning for semantic segmentation on Ray.

    Example: ray-al demo
    """
    # A user's own modules are found in the working directory, as `python -m` finds them. Ray's
    # workers learn of the directory from Ray.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


for command in (
    run.demo,
    run.run,
    run.resume,
    run.extend,
    run.final,
    run.upper_bound,
    inspect.status,
    inspect.log,
    inspect.verify,
    inspect.report,
    predict.predict,
    predict.export,
    sweep.sweep,
    compare.compare,
    compare.replay,
    data.datasets,
    describe.config,
    describe.strategies,
    describe.doctor,
):
    main.add_command(command)
