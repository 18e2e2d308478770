r"""Measure what a frozen backbone saves: in scoring from its kept features, and in whole cycles.

python jobs/bench_frozen.py
python jobs/bench_frozen.py --data.dataset camvid --data.root /data/camvid \
    --model.weights mobilenet_v2.pth --json bench.json

The first part compares two things. One scores a pool from kept features in this process and writes
the parts. The other makes nothing but the forward passes of the same network, backbone and head,
from decoded images. Both are prepared alike, at the same precision. The passes are made in two
ways, all threads on one batch and one batch per thread; the faster one counts. All take turns, and
rates and ratios are medians over the turns.

The second part runs the same cycles twice, with the backbone frozen and with the same network
trained end to end, from the same weights and for as many steps. A cycle is its training,
evaluation, scoring and selection. The features, which are computed once, are shown separately.
Without options the data are synthetic and the weights random: the seconds then mean something, the
mIoUs nothing.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from arguments import benchmark_parser, device_of, workplace, write_numbers
from timing import pass_seconds, timed

from ray_al.core.config import RunConfig, parse_config
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.datasets import open_dataset
from ray_al.datasets.images import read_image, resize_image
from ray_al.datasets.manifest import build_manifest
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop
from ray_al.driver.pool import table_bytes
from ray_al.features.fill import fill_shard
from ray_al.ledger import Journal, fold
from ray_al.models import build_model, trained_state
from ray_al.report.rows import curve_rows
from ray_al.scoring.inputs import ImageInputs
from ray_al.scoring.prepare import prepare_network
from ray_al.scoring.readers import load_pool_source
from ray_al.scoring.runner import run_shards
from ray_al.scoring.scorer import Scorer
from ray_al.scoring.shards import ShardTask, make_tasks
from ray_al.train.state import dump

ROUNDS = 5
SYNTHETIC_IMAGES = 48


def main() -> None:
    """Run the parts that were asked for."""
    options = parse_arguments()
    with workplace(options, num_images=SYNTHETIC_IMAGES) as folder:
        found: dict[str, Any] = {"device": device_of(options)}
        if "scoring" in options.parts:
            found["scoring"] = [bench_scoring(options, score, folder) for score in options.scores]
        if "cycles" in options.parts:
            found["cycles"] = bench_cycles(options, folder)
    write_numbers(options, found)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = benchmark_parser(__doc__, size=(180, 240), steps=200, batch_size=16)
    parser.add_argument("--model.weights", dest="weights", default="none", help="of the backbone")
    parser.add_argument("--model.backbone.name", dest="backbone", default="mobilenet_v2")
    parser.add_argument("--regions", type=int, nargs=2, default=(5, 5), help="rows and columns")
    parser.add_argument(
        "--parts", nargs="+", choices=("scoring", "cycles"), default=["scoring", "cycles"]
    )
    parser.add_argument(
        "--scores", nargs="+", default=["entropy", "equal"], help="of the first part"
    )
    parser.add_argument("--score", default="class_balanced", help="of the second part")
    parser.add_argument("--images", type=int, default=360, help="at most so many are scored")
    parser.add_argument("--cycles", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=0.015, help="of the head alone")
    parser.add_argument("--end-to-end-learning-rate", type=float, default=0.001)
    parser.add_argument("--precision", default="auto")
    return parser.parse_args()


def configure(options: argparse.Namespace, folder: str, score: str, *, frozen: bool) -> RunConfig:
    """Return the configuration of a run with the backbone frozen or trained end to end."""
    rate = options.learning_rate if frozen else options.end_to_end_learning_rate
    gpus = float(options.gpu)
    values = {
        "data": {
            "dataset": options.dataset,
            "root": str(Path(options.root).resolve()),
            "image_size": list(options.size),
        },
        "model": {
            "kind": "composed",
            "backbone": {"kind": "torchvision", "name": options.backbone},
            "weights": options.weights,
            "frozen": frozen,
        },
        "features": {"store": {"kind": "files", "root": f"{folder}/features"}},
        "regions": {"rows": options.regions[0], "columns": options.regions[1]},
        "train": {
            "steps": options.steps,
            "optimizer": "adamw",
            "learning_rate": rate,
            "weight_decay": 0.01,
            "schedule": "cosine",
            "warmup": 0.1,
            "clip_gradients": 5,
            "class_weights": "balanced",
            "pixels_per_step": 8000,
            "threads": options.threads,
            "gpus_per_worker": gpus,
        },
        "strategy": {"acquisition": score},
        "scoring": {
            "workers": 0,
            "threads": options.threads,
            "batch_size": options.batch_size,
            "gpus_per_worker": gpus,
            "precision": "bf16" if options.gpu else options.precision,
        },
        "budget": {"start": 0.02, "per_cycle": 0.02, "amount": 0.02 * options.cycles},
        "cluster": {"host": "process"},
    }
    return parse_config(values, source="command line")


class Pool:
    """The images of a data set in a run directory, with an untrained head and all features."""

    def __init__(self, config: RunConfig, root: str, num_images: int) -> None:
        self.config, self.storage = config, Storage(root)
        dataset = open_dataset(config.data)
        self.num_classes = dataset.num_classes
        files = dataset.splits["train"][:num_images]
        self.table, _ = build_manifest(files, config.regions.num_regions)
        self.manifest = self.storage.put("manifest.parquet", table_bytes(self.table), attempt=1)
        torch.manual_seed(0)
        self.network = build_model(config.model, self.num_classes)
        self.state = dump(trained_state(self.network))
        self.weights: FileRef = self.storage.put("model.pt", self.state, attempt=1)
        source = load_pool_source(config.model_dump_json(), root, self.manifest)
        views = (0, source.mirror_view)
        assert source.store is not None
        store = source.store
        self.embed_seconds = timed(
            lambda: [
                fill_shard(source, store, shard, views, config.scoring.threads)
                for shard in range(len(source.shards))
            ]
        ) / (len(views) * len(self.table))
        self.record_bytes = source.record_bytes

    def tasks(self, output: str) -> list[ShardTask]:
        """Return tasks that score all regions of all images."""
        offsets = np.concatenate([[0], np.cumsum(self.table.column("num_regions").to_numpy())])
        return list(
            make_tasks(
                self.config,
                len(self.table),
                work="scores",
                images=np.ones(len(self.table), bool),
                regions_of=lambda start, stop: np.packbits(
                    np.ones(offsets[stop] - offsets[start], bool)
                ).tobytes(),
                done=set(),
                cycle=1,
                seed=0,
                run_uri=self.storage.root,
                manifest=self.manifest,
                weights=(self.weights,),
                output=output,
                attempt=1,
            )
        )

    def score_seconds(self, output: str) -> float:
        """Return the seconds per image of scoring from features, with parts written."""
        tasks = self.tasks(output)
        return timed(lambda: run_shards(tasks, self.config, lambda results: None)) / len(self.table)

    def images(self, count: int) -> np.ndarray:
        """Return decoded images, uint8 (count, H, W, 3)."""
        uris, size = self.table.column("uri").to_pylist(), self.config.data.image_size
        images = [resize_image(read_image(uri), size) for uri in uris[:count]]
        return np.stack((images * count)[:count])


def bench_scoring(options: argparse.Namespace, score: str, folder: str) -> dict[str, Any]:
    """Measure the images per second of both sides, and the size and time of the features."""
    config = configure(options, folder, score, frozen=True)
    pool = Pool(config, f"{folder}/{score}", options.images)
    scorer = Scorer(
        config, config.strategy, pool.num_classes, [pool.state], device=device_of(options)
    )
    network = prepare_network(pool.network, scorer.precision, scorer.device)
    pixels = ImageInputs(
        pool.images(options.batch_size), config.data.normalize, scorer.form
    ).plain()
    passes = 1 + len(scorer.transforms)
    pool.score_seconds("warm")

    def bare(threads: int, worker_threads: int) -> float:
        """Return the seconds per image of the network's passes, `worker_threads` at a time."""
        rounds = max(1, len(pool.table) // (len(pixels) * worker_threads))
        seconds = pass_seconds(
            lambda: network(pixels),
            repeats=rounds * passes,
            threads=threads,
            worker_threads=worker_threads,
            on_gpu=options.gpu,
        )
        return seconds / (rounds * worker_threads * len(pixels))

    bares, ours = [], []
    for turn in range(ROUNDS):  # in turns: a machine that slows down does so for all alike
        both = [bare(options.threads, 1), bare(1, scorer.worker_threads)]
        ours.append(pool.score_seconds(f"turn-{turn}"))
        bares.append(min(both))
        print(
            f"turn {turn + 1} of {ROUNDS}, images/s: bare {1 / bares[-1]:.1f}, "
            f"from features {1 / ours[-1]:.1f}",
            file=sys.stderr,
            flush=True,
        )
    found = {
        "score": score,
        "num_images": len(pool.table),
        "precision": scorer.precision,
        "bare_images_per_second": 1 / float(np.median(bares)),
        "cached_images_per_second": 1 / float(np.median(ours)),
        "ratio": float(np.median(np.array(bares) / np.array(ours))),
        "record_bytes": pool.record_bytes,
        "embed_seconds_per_view": pool.embed_seconds,
    }
    print_scoring(options, found, scorer.device)
    return found


def print_scoring(options: argparse.Namespace, found: dict[str, Any], device: object) -> None:
    """Print what `bench_scoring` found."""
    print(
        f"{found['score']}, {options.backbone} {options.size[0]}x{options.size[1]}, "
        f"{found['precision']} on {device}, {found['num_images']} images: "
        f"bare passes {found['bare_images_per_second']:.1f} images/s, "
        f"from features {found['cached_images_per_second']:.1f}, ratio {found['ratio']:.2f}; "
        f"a view of an image takes {found['record_bytes'] / 1e3:.0f} kB, "
        f"{1e3 * found['embed_seconds_per_view']:.1f} ms once",
        flush=True,
    )


def bench_cycles(options: argparse.Namespace, folder: str) -> dict[str, Any]:
    """Measure the curve and the seconds of each cycle, frozen and end to end."""
    found: dict[str, Any] = {}
    for name, frozen in (("frozen", True), ("end_to_end", False)):
        config = configure(options, f"{folder}/{name}", options.score, frozen=frozen)
        run_dir = create_run(config, f"{folder}/{name}/run")
        start = time.perf_counter()
        run_loop(run_dir)
        seconds = time.perf_counter() - start
        state = fold(Journal(Storage(run_dir)).events)
        rows = curve_rows(state)
        found[name] = {
            "mious": [row["miou"] for row in rows],
            "cycle_seconds": [row["cycle_seconds"] for row in rows if row["score_seconds"]],
            "embed_seconds": 0.0 if state.embedded is None else state.embedded.seconds,
            "run_seconds": seconds,
        }
        curve = " ".join(f"{row['miou']:.3f}" for row in rows)
        print(
            f"{name.replace('_', ' ')}, {options.steps} steps per cycle: mIoU {curve}; a cycle "
            f"{np.median(found[name]['cycle_seconds']):.1f} s, features once "
            f"{found[name]['embed_seconds']:.1f} s, the run {seconds:.1f} s",
            flush=True,
        )
    frozen_s, trained_s = (
        float(np.median(found[name]["cycle_seconds"])) for name in ("frozen", "end_to_end")
    )
    found["ratio"] = trained_s / frozen_s
    print(f"a cycle of the frozen network is {found['ratio']:.1f} times as fast")
    return found


if __name__ == "__main__":
    main()
