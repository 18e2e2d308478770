"""Measure what each acquisition function costs per image, as multiples of entropy.

Timed is everything from decoded pixels to region scores: the column of `ray-al strategies`.

python jobs/bench_strategies.py [--size 180 240]
"""

import argparse
import time

import numpy as np
import torch

from ray_al.acquisition import ACQUISITIONS
from ray_al.core.config import parse_config
from ray_al.scoring.inputs import ImageInputs
from ray_al.scoring.region_scores import region_columns
from ray_al.scoring.scorer import Scorer
from ray_al.scoring.shards import ShardImage

NUM_CLASSES, BATCH = 11, 4


def main() -> None:
    """Time all functions in turns, and print them by their cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs=2, default=(180, 240))
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument(
        "--threads", type=int, default=1, help="of a batch; scoring gives each batch one"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    images = np.random.default_rng(0).integers(0, 256, (BATCH, *options.size, 3), dtype=np.uint8)
    scorers = {
        name: open_scorer(name, options) for name, row in ACQUISITIONS.items() if row.needs_model
    }
    seconds: dict[str, list[float]] = {name: [] for name in scorers}
    # One after the other in every round: a machine that slows down does so for all alike.
    for turn in range(options.rounds + 1):
        for name, scorer in scorers.items():
            start = time.perf_counter()
            score(scorer, images)
            if turn:
                seconds[name].append((time.perf_counter() - start) / BATCH)
    base = np.median(seconds["entropy"])
    print(
        f"LR-ASPP {options.size[0]}x{options.size[1]}, grid 5x5, {options.threads} threads, "
        f"batches of {BATCH}"
    )
    for name, values in sorted(seconds.items(), key=lambda item: np.median(item[1])):
        strategy = scorers[name].strategy
        passes = {
            "logits": 1,
            "transforms": 1 + len(strategy.transforms),
            "passes": strategy.passes.count,
        }[ACQUISITIONS[name].inputs]
        print(
            f"{name:22s} {passes:3d} passes {1e3 * np.median(values):8.2f} ms per image "
            f"{np.median(values) / base:6.2f} times entropy"
        )


def open_scorer(name: str, options: argparse.Namespace) -> Scorer:
    """Return the scorer of one acquisition function."""
    values = {
        "data": {"image_size": list(options.size)},
        "strategy": {"acquisition": name, "passes": {"count": 10}},
        "scoring": {"batch_size": BATCH, "threads": options.threads},
    }
    config = parse_config(values, source="bench")
    return Scorer(config, config.strategy, NUM_CLASSES, [])


def score(scorer: Scorer, images: np.ndarray) -> None:
    """As a scoring task does, for native images of twice the size."""
    maps = scorer.maps(ImageInputs(images, scorer.config.data.normalize, scorer.form))
    height, width = (2 * side for side in images.shape[1:3])
    regions = scorer.config.regions.of_image(height, width)
    rest, none = np.arange(regions.num_regions), np.zeros(0, dtype=np.int64)
    image = ShardImage(row={"height": height, "width": width}, rest=rest, taken=none)
    for position in range(len(images)):
        region_columns(maps, position, image, scorer, regions)


if __name__ == "__main__":
    main()
