"""What a store of features costs and saves, and a large pool that fills one on this machine.

python jobs/bench_features.py [--images 20000] [--limit-gb 20]

First one image at a time: seconds to compute its features, to store them as well, and to read them
back. Then a pool of many small images, with the memory of driver and workers as the
store is filled. The backbone's weights are random: they change no time.
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from bench_pool import HEIGHT, WIDTH, write_pool

from ray_al.core.config import RunConfig, parse_config
from ray_al.core.storage import Storage
from ray_al.datasets import open_dataset
from ray_al.datasets.manifest import build_manifest
from ray_al.driver.cluster import connect
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop
from ray_al.features.fill import fill_shard
from ray_al.features.source import FeatureSource, pool_source
from ray_al.ledger import Journal, fold


def main() -> None:
    """Time one shard, then fill the store of a large pool."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit-gb", type=float, default=20.0)
    parser.add_argument("--image-size", type=int, nargs=2, default=(180, 240))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_pool(Path(folder) / "data", options.images)
        time_one_shard(folder, options)
        fill_pool(folder, options)


def configure(folder: str, options: argparse.Namespace, **data: Any) -> RunConfig:
    """Return the configuration of a run that keeps its features; `data` are settings of `data`."""
    values = {
        "data": {
            "dataset": "folder",
            "root": f"{folder}/data",
            "class_names": ["one", "other"],
            "image_size": [HEIGHT, WIDTH],
            "cache_gb": 0,
            "allow": ["shared_images"],  # a few pictures are all that there is
            **data,
        },
        "model": {"kind": "composed", "backbone": {"kind": "torchvision"}},
        "features": {"store": {"kind": "files", "limit_gb": options.limit_gb}, "views": []},
        "regions": {"kind": "grid", "rows": 2, "columns": 2},
        "train": {"threads": 1},
        "strategy": {"acquisition": "entropy"},
        "scoring": {"workers": options.workers, "threads": 1, "batch_size": 64, "shard_size": 1000},
        "budget": {"start_rule": "scored", "start": 10, "per_cycle": 10, "amount": 20},
        "label": {"annotator": "files"},
        "cluster": {"host": "process"},
    }
    return parse_config(values, source="bench")


def time_one_shard(folder: str, options: argparse.Namespace) -> None:
    """Thread-seconds an image and view, of one shard."""
    config = configure(folder, options, image_size=list(options.image_size))
    images = open_dataset(config.data).splits["train"][:64]
    manifest, _ = build_manifest(images, lambda height, width: 4)
    source = pool_source(config, f"{folder}/timed", manifest)
    numbers, view = range(len(images)), 0
    source.records(numbers[:8], view)
    assert source.store is not None
    computed = seconds(lambda: source.records(numbers, view))
    stored = seconds(lambda: fill_shard(source, source.store, 0, [view]))
    again = FeatureSource(config, source.run_uri, source.split, source.rows)
    verified = seconds(lambda: again.records(numbers, view))
    read = seconds(lambda: again.records(numbers, view))
    print(
        f"an image of {options.image_size[0]}x{options.image_size[1]}: "
        f"{source.record_bytes / 1000:.0f} kB per view; "
        f"computed in {1000 * computed / 64:.2f} ms, "
        f"computed and stored in {1000 * stored / 64:.2f} ms, "
        f"first read in {1000 * verified / 64:.2f} ms, read again in {1000 * read / 64:.2f} ms",
        flush=True,
    )


def seconds(work: Any) -> float:
    """CPU seconds of this process: other work on the machine does not count."""
    start = time.process_time()
    work()
    return time.process_time() - start


def fill_pool(folder: str, options: argparse.Namespace) -> None:
    """A run up to the end of the stage."""
    config = configure(folder, options)
    run = create_run(config, f"{folder}/run")
    storage, ended = Storage(run), threading.Event()

    def watch() -> None:
        while not ended.wait(10):
            parts = len(fold(Journal(storage).events).embedded_shards)
            print(
                f"{parts:6d} shards; driver {driver_memory():.0f} MB, "
                f"largest worker {worker_memory():.0f} MB",
                flush=True,
            )

    def is_embedded() -> bool:
        return '"pool_embedded"' in max(Path(run, "journal").iterdir()).read_text()

    with connect(config):
        threading.Thread(target=watch, daemon=True).start()
        run_loop(run, should_stop=is_embedded)
        ended.set()
    facts = fold(Journal(storage).events).embedded
    assert facts is not None
    size = sum(path.stat().st_size for path in Path(run, "features").rglob("*.npy"))
    print(
        f"{facts.num_images:,} of {options.images:,} images, views {facts.views}, "
        f"stored in {facts.seconds:.0f} s; "
        f"{1000 * facts.work_seconds / facts.num_images:.2f} ms of a worker per image, "
        f"{size / facts.num_images / 1000:.1f} kB per image "
        f"({facts.num_bytes / facts.num_images / 1000:.1f} kB by count)"
    )


def driver_memory() -> float:
    """Return the resident megabytes of this process."""
    return float(psutil.Process().memory_info().rss) / 2**20


def worker_memory() -> float:
    """MB of the largest worker, without what it shares with others."""
    sizes = [0.0]
    for process in psutil.process_iter():
        try:
            if process.name().startswith("ray::"):
                sizes.append(float(np.float64(process.memory_full_info().uss)) / 2**20)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return max(sizes)


if __name__ == "__main__":
    main()
