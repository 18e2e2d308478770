r"""Measure how many images per second are scored, in four ways.

python jobs/bench_scoring.py --root /data/camvid --size 180 240 --images 1500 \
    [--model deeplabv3_resnet50] [--weights model.pt]

(a) bare forward passes, (b) our scorer in one process, (c) our scorer through Ray Data, (d) the
original implementation of EquAL: one image and one forward pass at a time. All four start from
decoded images and use the same number of threads; decoding is shown separately. If there are too
few images in the data set, they are repeated. Bare passes are made in two ways, all threads on one
batch and one batch per thread; (a) is the faster. Everything is measured in five turns; rates and
ratios are
"""

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from timing import pass_seconds, timed

from ray_al.core.config import RunConfig, parse_config
from ray_al.core.families.regions import Regions
from ray_al.core.storage import Storage
from ray_al.datasets import open_dataset
from ray_al.datasets.images import read_image, resize_image
from ray_al.datasets.manifest import build_manifest
from ray_al.driver.cluster import connect
from ray_al.driver.pool import table_bytes
from ray_al.models import build_model, trained_state
from ray_al.scoring.inputs import ImageInputs
from ray_al.scoring.pooling import BoxPooler
from ray_al.scoring.runner import run_shards
from ray_al.scoring.scorer import Scorer
from ray_al.scoring.shards import ShardTask, make_tasks
from ray_al.train.state import dump

SHARE = 0.12
ROUNDS = 5
BARE = ("bare, one batch", "bare, one batch per thread")


def main() -> None:
    """Measure every acquisition function that was named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", required=True)
    parser.add_argument("--size", type=int, nargs=2, default=(180, 240))
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--model", default="lraspp_mobilenet_v3_large")
    parser.add_argument(
        "--weights", help="state dict of a trained network; default: random weights"
    )
    parser.add_argument("--scores", nargs="+", default=["entropy", "equal"])
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument(
        "--without-ray",
        action="store_true",
        help="leave (c) out: on a GPU each turn starts a pool of scorers",
    )
    options = parser.parse_args()
    ray = (
        contextlib.nullcontext() if options.without_ray else connect(configure(options, "entropy"))
    )
    with tempfile.TemporaryDirectory() as folder, ray:
        for score in options.scores:
            Bench(options, score, Storage(f"{folder}/{score}")).run()


def configure(options: argparse.Namespace, score: str, **changes: object) -> RunConfig:
    """Return the configuration of one acquisition function; `changes` are settings of `score`."""
    values = {
        "data": {
            "dataset": "camvid",
            "root": str(Path(options.root).resolve()),
            "image_size": list(options.size),
            "cache_gb": 8,
        },
        "model": {"name": options.model},
        "strategy": {"acquisition": score},
        "scoring": {
            "batch_size": options.batch_size,
            "threads": options.threads,
            "workers": 1,
            "gpus_per_worker": float(options.gpu),
            "precision": "bf16" if options.gpu else "auto",
            **changes,
        },
    }
    return parse_config(values, source="command line")


class Bench:
    """One acquisition function on one network."""

    def __init__(self, options: argparse.Namespace, score: str, storage: Storage) -> None:
        self.options, self.score, self.storage = options, score, storage
        self.config = configure(options, score)
        self.device = "cuda" if options.gpu else "cpu"
        dataset = open_dataset(self.config.data)
        self.num_classes, self.files = dataset.num_classes, dataset.splits["train"]
        torch.manual_seed(0)
        model = build_model(self.config.model, self.num_classes)
        state = (
            Path(options.weights).read_bytes() if options.weights else dump(trained_state(model))
        )
        self.weights = storage.put("model.pt", state, attempt=1)
        self.manifest = self._manifest()
        self.scorer = Scorer(
            self.config, self.config.strategy, self.num_classes, [state], device=self.device
        )
        reference = configure(options, score, precision="reference")
        self.reference = Scorer(
            reference, reference.strategy, self.num_classes, [state], device=self.device
        )

    def _manifest(self) -> pa.Table:
        """The data set's images, again and again under other names."""
        table, _ = build_manifest(self.files, self.config.regions.num_regions)
        rows = [table.slice(number % len(table), 1) for number in range(self.options.images)]
        names = [
            f"{number:06d}/{row.column('image_id')[0].as_py()}" for number, row in enumerate(rows)
        ]
        whole = pa.concat_tables(rows)
        return whole.set_column(
            0, "image_index", pa.array(range(len(whole)), pa.int64())
        ).set_column(1, "image_id", pa.array(names, pa.string()))

    def tasks(self, output: str, cycle: int) -> list[ShardTask]:
        """Return tasks that score all regions of all images."""
        ref = self.storage.put("manifest.parquet", table_bytes(self.manifest), attempt=1)
        offsets = np.concatenate([[0], np.cumsum(self.manifest.column("num_regions").to_numpy())])
        return list(
            make_tasks(
                self.config,
                len(self.manifest),
                work="scores",
                images=np.ones(len(self.manifest), bool),
                done=set(),
                cycle=cycle,
                seed=0,
                regions_of=lambda start, stop: np.packbits(
                    np.ones(offsets[stop] - offsets[start], bool)
                ).tobytes(),
                run_uri=self.storage.root,
                manifest=ref,
                weights=(self.weights,),
                output=output,
                attempt=1,
            )
        )

    def _decode(self, uri: str) -> np.ndarray:
        return resize_image(read_image(uri), self.config.data.image_size)

    def run(self) -> None:
        """Measure all ways in turns, and print the medians."""
        uris = [file.uri for file in self.files][: self.options.images]
        some = uris[:100]
        decoding = timed(lambda: [self._decode(uri) for uri in some]) / len(some)
        size = self.options.batch_size
        batch = np.stack([self._decode(uri) for uri in (uris * size)[:size]])
        seconds = self._measure(batch)
        self._print(seconds, decoding)
        print(
            f"    overlap of the top {SHARE:.0%} with fp32 at full resolution: "
            f"{self.overlap(uris):.3f}",
            flush=True,
        )

    def _measure(self, batch: np.ndarray) -> dict[str, list[float]]:
        """Return the seconds per image of each way, one number per turn.

        All take turns: a machine that slows down does so for all alike.
        """
        few = list(batch) * max(1, self.options.images // (10 * len(batch)))  # EquAL's way is slow
        score = self.config.scoring.model_copy(update={"workers": 0})
        in_process = self.config.model_copy(update={"scoring": score})
        if not self.options.without_ray:
            self.through(self.config, "warm", 0)  # starts the worker, fills its cache
        self.through(in_process, "warm-process", 0)
        seconds: dict[str, list[float]] = {name: [] for name in (*BARE, "process", "ray", "equal")}
        for turn in range(ROUNDS):
            together, apart = BARE
            seconds[together].append(
                self.bare(batch, threads=self.options.threads, worker_threads=1)
            )
            # Speed drifts, so the bare passes are measured before and after ours.
            before = self.bare(batch, threads=1, worker_threads=self.scorer.worker_threads)
            seconds["process"].append(self.through(in_process, f"process-{turn}", 1))
            after = self.bare(batch, threads=1, worker_threads=self.scorer.worker_threads)
            seconds[apart].append((before + after) / 2)
            if not self.options.without_ray:
                seconds["ray"].append(self.through(self.config, f"ray-{turn}", 1))
            torch.set_num_threads(self.options.threads)
            equal = timed(lambda: [self.equal_way(image) for image in few])
            seconds["equal"].append(equal / len(few))
            rates = [f"{name} {1 / values[-1]:.1f}" for name, values in seconds.items() if values]
            line = f"turn {turn + 1} of {ROUNDS}, img/s: {', '.join(rates)}"
            print(line, file=sys.stderr, flush=True)
        return seconds

    def _print(self, seconds: dict[str, list[float]], decoding: float) -> None:
        """Print the rates and their ratios, as medians over the turns."""
        rates = {name: 1 / float(np.median(values)) for name, values in seconds.items() if values}
        faster = max(BARE, key=lambda name: rates[name])

        def ratio(name: str, other: str) -> float:
            """Return how many times as fast one was as the other."""
            return float(np.median(np.array(seconds[other]) / np.array(seconds[name])))

        print(
            f"\n{self.score}, {self.options.model} "
            f"{self.options.size[0]}x{self.options.size[1]}, {self.options.images} images, "
            f"{self.options.threads} threads, {self.scorer.precision} on {self.device}, "
            f"batches of {self.options.batch_size}"
        )
        print(f"    decoding (PNG, resized, one thread)      {1 / decoding:8.1f} img/s")
        print(f"(a) bare forward passes, threads on a batch  {rates['bare, one batch']:8.1f} img/s")
        print(
            "    bare forward passes, one batch per thread "
            f"{rates['bare, one batch per thread']:7.1f} img/s"
        )
        print(
            f"(b) scorer in one process, parts written     {rates['process']:8.1f} img/s   "
            f"{ratio('process', faster):5.2f} of the faster (a)"
        )
        if not self.options.without_ray:
            print(
                f"(c) the same through Ray Data, 1 worker      {rates['ray']:8.1f} img/s   "
                f"{ratio('ray', 'process'):5.2f} of (b)"
            )
        print(
            f"(d) EquAL's way                              {rates['equal']:8.1f} img/s   "
            f"(b) is {ratio('process', 'equal'):5.2f} times (d)"
        )
        whole = 1 / (1 / rates["equal"] + decoding)
        print(
            f"    EquAL's way, decoding its image          {whole:8.1f} img/s   "
            f"(b) is {rates['process'] / whole:5.2f} times that"
        )

    def bare(self, batch: np.ndarray, *, threads: int, worker_threads: int) -> float:
        """Return the seconds per image of nothing but the network's passes.

        Args:
            worker_threads: number of passes at a time, each with `threads` threads.
        """
        tensor = ImageInputs(batch, self.config.data.normalize, self.scorer.form).plain()
        passes = 2 if self.score == "equal" else 1
        rounds = max(1, self.options.images // (len(batch) * worker_threads))
        seconds = pass_seconds(
            lambda: self.scorer.networks[0](tensor),
            repeats=rounds * passes,
            threads=threads,
            worker_threads=worker_threads,
            on_gpu=self.device == "cuda",
        )
        return seconds / (rounds * worker_threads * len(batch))

    def through(self, config: RunConfig, output: str, cycle: int) -> float:
        """Return the seconds per image of scoring tasks, with results written."""
        tasks = self.tasks(output, cycle)
        return timed(lambda: run_shards(tasks, config, lambda results: None)) / self.options.images

    @torch.no_grad()
    def equal_way(self, image: np.ndarray) -> list[float]:
        """Score one image with one pass at a time, as EquAL does.

        Entropy is computed at full resolution in numpy, its means in a loop over the cells.
        """
        size, network = self.config.data.image_size, self.reference.networks[0]
        tensor = torch.from_numpy(image).permute(2, 0, 1).float()[None].to(self.device) / 255
        total = np.zeros(size)
        for mirrored in (False, True) if self.score == "equal" else (False,):
            logits = torch.nn.functional.interpolate(
                network(tensor.flip(-1) if mirrored else tensor),
                size=size,
                mode="bilinear",
                align_corners=False,
            )
            p = logits.softmax(1)[0].cpu().numpy()
            entropy = -(p * np.log(p + 1e-12)).sum(0)
            total += entropy[:, ::-1] if mirrored else entropy
        rows, columns = (
            np.linspace(0, size[0], 6).astype(int),
            np.linspace(0, size[1], 6).astype(int),
        )
        return [
            float(total[rows[i] : rows[i + 1], columns[j] : columns[j + 1]].mean())
            for i in range(5)
            for j in range(5)
        ]

    def overlap(self, uris: list[str]) -> float:
        """Return the share of regions that the reference precision and ours both choose."""
        ours = self._read("process-0")[: len(uris) * 25]
        maps = [
            self.reference.maps(
                ImageInputs(
                    self._decode(uri)[None], self.config.data.normalize, self.reference.form
                )
            ).values[0]
            for uri in uris
        ]
        boxes = self.config.regions
        full = [
            boxes_mean(values, boxes, row)
            for values, row in zip(maps, self.manifest.to_pylist(), strict=False)
        ]
        k = int(len(ours) * SHARE)
        return (
            len(
                set(np.argsort(-ours, kind="stable")[:k])
                & set(np.argsort(-np.concatenate(full), kind="stable")[:k])
            )
            / k
        )

    def _read(self, output: str) -> np.ndarray:
        names = self.storage.list(output)
        tables = [
            pq.read_table(pa.BufferReader(self.storage.read(f"{output}/{name}"))) for name in names
        ]
        return pa.concat_tables(tables).column("score").to_numpy()


def boxes_mean(values: torch.Tensor, kind: Regions, row: dict[str, Any]) -> np.ndarray:
    """Return the means of a map (H, W) over the regions of an image, shape (R,)."""
    height, width = row["height"], row["width"]
    return BoxPooler(kind.of_image(height, width).boxes, height, width).mean(values[None])[:, 0]


if __name__ == "__main__":
    main()
