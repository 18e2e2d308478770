"""Command line that the benchmarks of training share."""

import argparse
import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ray_al.datasets.synthetic import write_synthetic


def benchmark_parser(
    description: str | None, *, size: tuple[int, int], steps: int, batch_size: int
) -> argparse.ArgumentParser:
    """Return a parser of the options that all have; data are named as in a configuration.

    Args:
        description: shown above the options.
        size: default height and width of images in pixels.
        steps: default number of training steps.
        batch_size: default number of images in a batch.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data.dataset", dest="dataset", default="synthetic")
    parser.add_argument("--data.root", dest="root", help="of another data set than synthetic")
    parser.add_argument("--data.image_size", dest="size", type=int, nargs=2, default=size)
    parser.add_argument("--steps", type=int, default=steps, help="of training that are timed")
    parser.add_argument("--batch-size", type=int, default=batch_size)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--json", help="a file for the numbers")
    return parser


@contextlib.contextmanager
def workplace(options: argparse.Namespace, *, num_images: int) -> Iterator[str]:
    """Yield a temporary folder; synthetic images are made in it and named in `options.root`.

    Args:
        num_images: number of synthetic images in the pool.
    """
    with tempfile.TemporaryDirectory() as folder:
        if options.dataset == "synthetic":
            options.root = f"{folder}/data"
            write_synthetic(options.root, num_images=num_images, seed=0)
        yield folder


def write_numbers(options: argparse.Namespace, found: Any) -> None:
    """Write the numbers into the file that the command line names, if it names one."""
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n")


def device_of(options: argparse.Namespace) -> str:
    """Return the name of torch's device."""
    return "cuda" if options.gpu else "cpu"
