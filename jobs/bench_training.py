r"""Compare a run's trainer with the bare steps of its network, in steps per second.

python jobs/bench_training.py
python jobs/bench_training.py --data.dataset camvid --data.root /data/camvid \
    --data.image_size 360 480 --gpu

The trainer has every mask of the pool. A bare step is forward, loss, backward and optimizer on a
batch that is ready, in either memory format; a step of the trainer reads, changes and moves its
batch too. All take turns; times and ratios are medians over these. Without options the data are
synthetic.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from arguments import benchmark_parser, device_of, workplace, write_numbers

from ray_al.core.config import RunConfig, parse_config
from ray_al.core.storage import Storage
from ray_al.core.types import TrainPlan
from ray_al.datasets import open_dataset
from ray_al.datasets.manifest import build_manifest
from ray_al.driver.pool import table_bytes
from ray_al.models import build_model
from ray_al.train.comm import LocalComm
from ray_al.train.loop import CycleTrainer
from ray_al.train.losses import cross_entropy_sum, resize_logits
from ray_al.train.state import make_optimizer

TURNS = 3
SYNTHETIC_IMAGES = 24
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def main() -> None:
    """Measure both sides, and write the numbers if asked for."""
    options = parse_arguments()
    with workplace(options, num_images=SYNTHETIC_IMAGES) as folder:
        found = [
            bench(options, model, precision, f"{folder}/{model}-{precision}")
            for model in options.models
            for precision in options.precisions
        ]
    write_numbers(options, found)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = benchmark_parser(__doc__, size=(96, 128), steps=20, batch_size=8)
    parser.add_argument("--models", nargs="+", default=["lraspp_mobilenet_v3_large"])
    parser.add_argument("--precisions", nargs="+", default=["fp32"], choices=("fp32", "bf16"))
    return parser.parse_args()


def configure(options: argparse.Namespace, model: str, precision: str) -> RunConfig:
    """Return the configuration of a run that trains."""
    values = {
        "data": {
            "dataset": options.dataset,
            "root": str(Path(options.root).resolve()),
            "image_size": list(options.size),
        },
        "model": {"name": model},
        "train": {
            "batch_size": options.batch_size,
            "precision": precision,
            "threads": options.threads,
            "gpus_per_worker": float(options.gpu),
            "checkpoint_interval_s": 3600,
        },
    }
    return parse_config(values, source="command line")


def bench(options: argparse.Namespace, model: str, precision: str, run_dir: str) -> dict[str, Any]:
    """Seconds a step of both sides."""
    config = configure(options, model, precision)
    dataset, storage = open_dataset(config.data), Storage(run_dir)
    table, _ = build_manifest(dataset.splits["train"], config.regions.num_regions)
    storage.put("manifest.parquet", table_bytes(table), attempt=1)
    device = torch.device(device_of(options))
    trainer = CycleTrainer(config, run_dir, LocalComm(), device)
    bare = {
        name: bare_steps(config, dataset.num_classes, device, memory_format)
        for name, memory_format in FORMATS.items()
    }

    def trained(steps: int) -> float:
        plan = TrainPlan(
            cycle=0, attempt=1, seed=0, label_parts=(), output="out",
            partial_checkpoint="progress.pt",
            all_masks=True, splits=(), steps=steps, keeps_model=False,
        )  # fmt: skip
        return trainer.run(plan).train_seconds

    warm = max(5, len(table) // options.batch_size)  # every image is decoded once
    trained(warm)
    for steps in bare.values():
        steps(3)
    seconds: dict[str, list[float]] = {name: [] for name in (*FORMATS, "trainer")}
    for _ in range(TURNS):  # in turns: a machine that slows down does so for all alike
        for name, steps in bare.items():
            seconds[name].append(steps(options.steps) / options.steps)
        seconds["trainer"].append(
            (trained(warm + options.steps) - trained(warm)) / options.steps
        )  # without the making of the network
    return report(options, model, precision, seconds)


def report(
    options: argparse.Namespace, model: str, precision: str, seconds: dict[str, list[float]]
) -> dict[str, Any]:
    """Print medians over the turns, and return them."""
    turns = {name: np.array(values) for name, values in seconds.items()}
    milliseconds = {f"{name}_ms": 1e3 * float(np.median(turns[name])) for name in turns}
    ratios = {name: float(np.median(turns[name] / turns["trainer"])) for name in FORMATS}
    device = torch.cuda.get_device_name() if options.gpu else "cpu"
    print(
        f"{model}, {options.size[0]}x{options.size[1]}, batches of {options.batch_size}, "
        f"{precision} on {device}: a step of the trainer {milliseconds['trainer_ms']:.1f} ms; "
        + "; ".join(
            f"a bare one, {name}, {milliseconds[f'{name}_ms']:.1f} ms ({ratios[name]:.2f} of it)"
            for name in FORMATS
        ),
        flush=True,
    )
    return {
        "model": model,
        "precision": precision,
        "device": device,
        **milliseconds,
        **{f"{name}_ratio": ratio for name, ratio in ratios.items()},
    }


def bare_steps(
    config: RunConfig, num_classes: int, device: torch.device, memory_format: torch.memory_format
) -> Callable[[int], float]:
    """Return a function that makes a number of steps and returns their seconds."""
    torch.manual_seed(0)
    size, count = config.data.image_size, config.train.batch_size
    network = build_model(config.model, num_classes).to(device).train()
    optimizer = make_optimizer(network, config.train, config.train.learning_rate)
    images = torch.rand(count, 3, *size, device=device).to(memory_format=memory_format)
    labels = torch.randint(0, num_classes, (count, *size), device=device)

    def run(steps: int) -> float:
        torch.set_num_threads(config.train.threads)
        start = time.perf_counter()
        for _ in range(steps):
            with torch.autocast(
                device.type, dtype=torch.bfloat16, enabled=config.train.precision == "bf16"
            ):
                total, labelled = cross_entropy_sum(resize_logits(network(images), size), labels)
            optimizer.zero_grad(set_to_none=True)
            (total / labelled).backward()
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    return run


if __name__ == "__main__":
    main()
