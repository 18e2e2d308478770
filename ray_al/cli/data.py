"""Commands that look at data before a run."""

import sys

import click
import yaml

from ray_al import api
from ray_al.cli.options import echo, json_option, options, set_option
from ray_al.terminal import place, show_progress


@click.group()
def datasets() -> None:
    """Look at data before a run.

    Example: ray-al datasets check jobs/camvid_cpu.yaml
    """


@datasets.command()
@click.argument("config", callback=place)
@options(set_option, json_option)
def check(config: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Read every image and mask of CONFIG's data and count what is wrong (exit 1 if anything is).

    Where masks hold values that no setting explains, it writes a table for data.mask_values.

    Example: ray-al datasets check jobs/camvid_cpu.yaml --set data.root=/data/camvid
    """
    from ray_al.datasets import open_dataset
    from ray_al.datasets.check import check_dataset
    from ray_al.datasets.statistics import with_channels
    from ray_al.datasets.tiles import Tiling, files_at_once

    settings = with_channels(api.load_config(config, overrides))
    dataset = open_dataset(settings.data, asks_people=settings.label.validation)
    tiling = Tiling.of(settings.data)

    def too_small(height: int, width: int) -> str | None:
        tiles = [(height, width)] if tiling is None else tiling.sizes((height, width))
        return next(filter(None, (settings.regions.too_small(*size) for size in tiles)), None)

    with show_progress() as show:
        facts = check_dataset(
            dataset,
            threads=files_at_once(settings.data),
            progress=lambda done, total: show(_progress_line(done, total)),
            reads_masks=settings.label.annotator.reads_masks,
            too_small=too_small,
        )
    text = yaml.safe_dump(facts, sort_keys=False, default_flow_style=None, width=110)
    echo(facts, str(text).rstrip(), as_json=as_json)
    sys.exit(0 if facts["ok"] else 1)


def _progress_line(done: int, total: int) -> str:
    """Return a line that changes with every twentieth part, so that logs stay short."""
    return f"checked {20 * done // total * 5} % of {total} images"
