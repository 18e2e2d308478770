"""Call the command line within this process."""

from click.testing import CliRunner, Result

from ray_al.cli import main


def invoke(*arguments: object) -> Result:
    """Call `ray-al` with these arguments."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])
