"""Score a pool of many small images end to end on this machine, and print the driver's memory.

python jobs/bench_pool.py [--images 200000]

The pool has no masks: the untrained network scores it, a start set is chosen, tasks for people are
written, and the run waits.
"""

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from ray_al.core.config import parse_config
from ray_al.core.storage import Storage
from ray_al.driver.cluster import connect
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop
from ray_al.ledger import Journal, fold

HEIGHT, WIDTH, DIFFERENT, PER_FOLDER = 48, 64, 50, 1000


def main() -> None:
    """Write a pool and score it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write_pool(Path(folder) / "data", options.images)
        print(
            f"{options.images:,} images of {HEIGHT}x{WIDTH} "
            f"written in {time.perf_counter() - start:.0f} s",
            flush=True,
        )
        score_pool(folder, options)


def write_pool(root: Path, count: int) -> None:
    """The same few pictures under many names: a file each."""
    rng = np.random.default_rng(0)
    contents = []
    (root / "masks" / "val").mkdir(parents=True)
    for number in range(DIFFERENT):
        path = root / "images" / "val" / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)).resize(
            (WIDTH, HEIGHT)
        ).save(path)
        Image.fromarray(rng.integers(0, 2, (HEIGHT, WIDTH), np.uint8)).save(
            root / "masks" / "val" / path.name
        )
        contents.append(path.read_bytes())
    for number in range(count):
        path = root / "images" / "train" / f"{number // PER_FOLDER:04d}" / f"{number:07d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[number % DIFFERENT])


def score_pool(folder: str, options: argparse.Namespace) -> None:
    """Score the pool as a run does, and print rates and memory."""
    values = {
        "data": {
            "dataset": "folder",
            "root": f"{folder}/data",
            "class_names": ["one", "other"],
            "image_size": [HEIGHT, WIDTH],
            "cache_gb": 0.2,
            "allow": ["shared_images"],  # a few pictures are all that there is
        },
        "regions": {"kind": "grid", "rows": 2, "columns": 2},
        "train": {"threads": 1},
        "strategy": {"acquisition": "entropy"},
        "scoring": {"workers": options.workers, "threads": 1, "batch_size": 64, "shard_size": 1000},
        "budget": {"start_rule": "scored", "start": 10, "per_cycle": 10, "amount": 20},
        "label": {"annotator": "files"},
        "cluster": {"host": "process"},
    }
    start = time.perf_counter()
    run = create_run(parse_config(values, source="bench"), f"{folder}/run")
    print(
        f"checked, manifest written in {time.perf_counter() - start:.0f} s; "
        f"driver {memory():.0f} MB",
        flush=True,
    )
    done = threading.Event()
    watch = threading.Thread(target=show_memory, args=(run, done))
    with connect(parse_config(values, source="bench")):
        watch.start()
        start = time.perf_counter()
        outcome = run_loop(run)
        done.set()
        watch.join()
    state = fold(Journal(Storage(run)).events)
    scored = state.scored[-1]
    print(
        f"{outcome.kind} after {time.perf_counter() - start:.0f} s: "
        f"{scored.num_images:,} images scored in {scored.seconds:.0f} s, "
        f"{scored.num_images / scored.seconds:.0f} img/s; driver {memory():.0f} MB"
    )


def show_memory(run: str, done: threading.Event) -> None:
    """Print the memory of this process until `done` is set."""
    while not done.wait(15):
        folder = Path(run) / "cycles" / "start" / "scores"
        parts = len(list(folder.glob("part-*"))) if folder.exists() else 0
        print(f"  {parts:5d} shards scored, driver {memory():6.0f} MB", flush=True)


def memory() -> float:
    """Resident megabytes of this process."""
    return float(psutil.Process(os.getpid()).memory_info().rss / 2**20)


if __name__ == "__main__":
    main()
