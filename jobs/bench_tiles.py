"""Measure the memory of a run on tiles of large scans.

python jobs/bench_tiles.py [--scans 3] [--size 12000 15000] [--set KEY=VALUE]

Scans of noise with small red squares are made in a temporary folder; then `ray-al run` trains and
scores two cycles, and `ray-al final` trains once more. Printed is the largest sum of the resident
memory of all processes of each command. Memory that processes share is counted for each of them.
The network is two convolutions; what a larger one needs for a batch comes on top, and is measured
by `--set model.name=...`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from torch import nn

EVERY_S = 0.05
"""Seconds between two looks at the memory."""
MAKE = """
import sys
import numpy as np
from PIL import Image
image_path, mask_path, height, width, seed = *sys.argv[1:3], *map(int, sys.argv[3:])
rng = np.random.default_rng(seed)
image = rng.integers(90, 140, (height, width, 3), dtype=np.uint8)
mask = np.zeros((height, width), np.uint8)
for _ in range(height * width // 200**2):
    top, left = rng.integers(0, height - 12), rng.integers(0, width - 12)
    place = np.s_[top : top + 12, left : left + 12]
    image[place] = rng.integers([180, 40, 40], [230, 80, 80], (12, 12, 3))
    mask[place] = 1
Image.fromarray(image).save(image_path, compress_level=1)
Image.fromarray(mask).save(mask_path, compress_level=1)
"""
CONFIG = """
name: tiles
data: {{dataset: folder, root: {root}, class_names: [ground, speck], tile: [1024, 1024]}}
model: {{name: "bench_tiles:two_convolutions"}}
train: {{steps: 10, batch_size: 2, workers: 0, threads: 2}}
scoring: {{workers: 0, threads: 2, batch_size: 2}}
strategy: {{acquisition: entropy}}
budget: {{start: 40, per_cycle: 40, amount: 80}}
cluster: {{host: process}}
"""


def two_convolutions(num_classes: int, in_channels: int = 3) -> nn.Module:
    """Return a network that needs next to no memory."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, num_classes, 1),
    )


def main() -> None:
    """Make the scans, run both commands, and print their memory."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scans", type=int, default=3, help="in the pool; one more validates")
    parser.add_argument("--size", type=int, nargs=2, default=(12_000, 15_000))
    parser.add_argument("--data", help="folder of the scans, which an earlier call may have made")
    parser.add_argument("--set", action="append", default=[], help="a setting, as for `ray-al run`")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(options.data or f"{folder}/data").absolute()
        if not data.exists():
            make_scans(data, options.scans, options.size)
        config, out = Path(folder) / "tiles.yaml", f"{folder}/run"
        config.write_text(CONFIG.format(root=data))
        changes = [word for change in options.set for word in ("--set", change)]
        height, width = options.size
        print(
            f"{options.scans} scans of {height} x {width} pixels and one for validation", flush=True
        )
        for command in (["run", str(config), "--out", out, *changes], ["final", out]):
            peak, seconds = measure(command)
            print(
                f"ray-al {command[0]:6s} {peak / 1e9:5.2f} GB at most, {seconds:.0f} s", flush=True
            )


def make_scans(root: Path, count: int, size: Sequence[int]) -> None:
    """Make scans and masks, each in a process of its own, whose memory is not measured."""
    for split, number in (("val", 0), *(("train", number) for number in range(count))):
        paths = [root / kind / split / f"{number}.png" for kind in ("images", "masks")]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        seed = number if split == "train" else count
        words = [str(word) for word in (*paths, *size, seed)]
        subprocess.run([sys.executable, "-c", MAKE, *words], check=True)


def measure(command: Sequence[str]) -> tuple[int, float]:
    """Return the most memory of all processes of a command in bytes, and its seconds."""
    started = time.perf_counter()
    here = str(Path(__file__).parent)  # the network is found by the name of this file
    paths = filter(None, (here, os.environ.get("PYTHONPATH")))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    process = subprocess.Popen(
        [sys.executable, "-m", "ray_al.cli", *command], stdout=subprocess.DEVNULL, env=env
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, memory_below(psutil.Process(process.pid)))
        time.sleep(EVERY_S)
    if process.returncode:
        raise SystemExit(f"ray-al {command[0]} ended with {process.returncode}")
    return peak, time.perf_counter() - started


def memory_below(process: psutil.Process) -> int:
    """Return the resident memory of a process and all that it has started, in bytes."""
    total = 0
    try:
        for one in (process, *process.children(recursive=True)):
            total += one.memory_info().rss
    except psutil.NoSuchProcess:  # it ended meanwhile; the next look counts the others
        return 0
    return total


if __name__ == "__main__":
    main()
