"""Images a second of scoring `equal`: bare forward passes, our scorer end to end, and EquAL's own way; overlap with the reference.

python jobs/bench_scoring.py --root /data/camvid --size 180 240 --images 100 [--weights model.pt]
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ray_al.core.config import RunConfig, parse_config
from ray_al.datasets import open_dataset
from ray_al.datasets.images import read_image, resize_image
from ray_al.models import build_model
from ray_al.score.scorer import Scorer
from ray_al.score.shards import score_files

SHARE = 0.12
BLOCK = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True)
    parser.add_argument("--size", type=int, nargs=2, default=(180, 240))
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--weights", help="state dict of a trained LR-ASPP; default: random weights")
    parser.add_argument("--batch-size", type=int, default=4)
    options = parser.parse_args()
    config = configure(options)
    dataset = open_dataset(config.data)
    uris = [image.uri for image in dataset.splits["train"]][: options.images]
    torch.manual_seed(0)
    weights = Path(options.weights).read_bytes() if options.weights else None
    scorer = Scorer(config, dataset.num_classes, weights)
    reference = Scorer(config.model_copy(update={"score": config.score.model_copy(update={"precision": "reference"})}), dataset.num_classes, weights)
    if weights is None:
        torch.manual_seed(0)
        reference.network = build_model(config.model, dataset.num_classes).eval()
    ours, first = timed(lambda: score(scorer, uris))
    batch = scorer.network_input(np.stack([resize_image(read_image(uri), config.data.image_size) for uri in uris[: options.batch_size]]))
    counts, seconds = dict.fromkeys(("later", "bare", "equal"), 0), dict.fromkeys(("later", "bare", "equal"), 0.0)
    for begin in range(0, len(uris), BLOCK):  # block by block, so that a machine that slows down does so for all alike
        block = uris[begin : begin + BLOCK]
        rounds, some = max(1, len(block) // options.batch_size), block[: max(1, len(block) // 5)]
        for name, count, function in (
            ("later", len(block), lambda block=block: score(scorer, block)),
            ("bare", rounds * options.batch_size, lambda rounds=rounds: [forward(scorer, batch) for _ in range(rounds)]),
            ("equal", len(some), lambda some=some: [equal_way(reference.network, uri, config.data.image_size) for uri in some]),
        ):
            counts[name] += count
            seconds[name] += timed(function)[1]
    rates = {
        "bare forward passes": counts["bare"] / seconds["bare"],
        "ours, first cycle (decodes)": len(uris) / first,
        "ours, later cycles (decoded images kept)": counts["later"] / seconds["later"],
        "EquAL's way (decodes in every pass)": counts["equal"] / seconds["equal"],
    }
    print(f"LR-ASPP {options.size[0]}x{options.size[1]}, {len(uris)} images, {torch.get_num_threads()} threads, {scorer.precision}")
    bare_rate, *_, seed_rate = rates.values()
    for name, rate in rates.items():
        print(f"{name:42s} {rate:7.1f} img/s   {rate / bare_rate:5.2f} of bare   {rate / seed_rate:5.2f} times EquAL's way")
    print(f"overlap of the top {SHARE:.0%} with the reference precision: {overlap(ours, score(reference, uris)):.3f}")


def configure(options: argparse.Namespace) -> RunConfig:
    values = {
        "data": {
            "dataset": "camvid",
            "root": str(Path(options.root).resolve()),
            "image_size": list(options.size),
            "normalize": "imagenet",
        },
        "strategy": {"score": "equal"},
        "score": {"batch_size": options.batch_size, "threads": 2},
    }
    return parse_config(values, source="command line")


def timed(function: Callable[[], object]) -> tuple[object, float]:
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


def score(scorer: Scorer, uris: list[str]) -> np.ndarray:
    images = [{"image_id": uri, "uri": uri, "height": 360, "width": 480} for uri in uris]
    return np.concatenate(score_files(scorer, images)[0])


@torch.inference_mode()
def forward(scorer: Scorer, batch: torch.Tensor) -> torch.Tensor:
    return scorer.network(batch)


@torch.no_grad()
def equal_way(network: torch.nn.Module, uri: str, size: tuple[int, int]) -> list[float]:
    """One image at a time, two forward passes, entropy at full resolution, a loop over the cells."""
    image = Image.open(uri).convert("RGB").resize((size[1], size[0]), Image.Resampling.BILINEAR)
    tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()[None] / 255
    total = np.zeros(size)
    for mirrored in (False, True):
        logits = torch.nn.functional.interpolate(network(tensor.flip(-1) if mirrored else tensor), size=size, mode="bilinear", align_corners=False)
        p = logits.softmax(1)[0].numpy()
        entropy = -(p * np.log(p + 1e-12)).sum(0)
        total += entropy[:, ::-1] if mirrored else entropy
    rows, columns = np.linspace(0, size[0], 6).astype(int), np.linspace(0, size[1], 6).astype(int)
    return [float(total[rows[i] : rows[i + 1], columns[j] : columns[j + 1]].mean()) for i in range(5) for j in range(5)]


def overlap(one: np.ndarray, other: object) -> float:
    k = int(len(one) * SHARE)
    return len(set(np.argsort(-one)[:k]) & set(np.argsort(-np.asarray(other))[:k])) / k


if __name__ == "__main__":
    main()
