"""Call the command line within this process."""

from click.testing import CliRunner

from ray_al.cli import main


def invoke(*arguments):
    return CliRunner().invoke(main, list(arguments))
