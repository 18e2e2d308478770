"""Measure seconds and peak memory of selection.

Measured are key rules over a whole pool, start sets, and rules on the best candidates' features.

python jobs/bench_selection.py [--images 1000000] [--regions 25] [--exact] [--growth [IMAGES ...]]
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ray_al.core.families.batch import BATCH_RULES, Moment
from ray_al.core.seeding import generator
from ray_al.core.types import MANIFEST_SCHEMA, SCORE_SCHEMA, START_CYCLE
from ray_al.regions.grid import Grid
from ray_al.select.basket import Basket
from ray_al.select.candidates import Candidates
from ray_al.select.fill import Allows, Order, fill_in_order
from ray_al.select.kcenter import kcenter
from ray_al.select.merge import merge_topk
from ray_al.select.rules import CandidateRule, OrderRule
from ray_al.select.start import equal_per_image, random_start

LIMIT_S, LIMIT_GB, LIMIT_IMAGES = 60, 2.0, 1_000_000
"""What a selection may take, for pools of so many images."""
SHARE = 0.02
"""Regions of the pool that a query takes."""
IMAGES_PER_PART = 4096
NUM_CLASSES = 19
HEIGHT, WIDTH = 1024, 2048
RULES = ("kcenter", "badge", "clue", "maxherding", "kmeans", "redal", "typiclust", "class_split")


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--regions", type=int, default=25)
    parser.add_argument("--candidates", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=256)
    parser.add_argument("--picks", type=int, default=1_000)
    parser.add_argument(
        "--exact",
        action="store_true",
        help="compare kcenter with one exact pick a pass (half a minute and more)",
    )
    parser.add_argument(
        "--growth",
        type=int,
        nargs="*",
        help="only topk, for pools of so many images; default 100000 1000000 10000000",
    )
    options = parser.parse_args()
    if options.growth is not None:
        for images in options.growth or [100_000, 1_000_000, 10_000_000]:
            over_pool(images, options.regions, {"topk": topk, "topk, 1 an image": one_per_image})
        return
    over_pool(
        options.images,
        options.regions,
        {
            "topk": topk,
            "topk, 1 an image": one_per_image,
            "power": power,
            "class balance": class_balance,
            "softrank": softrank,
        },
    )
    for name, start in (("random start", random_start), ("equal per image", equal_per_image)):
        report(name, apart(start_set, start, options.images, options.regions), limit=True)
    print(
        f"the best {options.candidates:,} regions, {options.features} features, "
        f"{options.picks:,} picks"
    )
    size = options.candidates, options.features, options.picks
    for name in RULES:
        report(name, apart(on_candidates, name, *size))
    if options.exact:
        report("kcenter, one by one", apart(on_candidates, "exact", *size))


def over_pool(images: int, regions: int, rules: dict[str, Callable[[str, int, int], Any]]) -> None:
    """Each rule over synthetic scores in Parquet; the folder is removed at the end."""
    print(f"{images:,} images x {regions} regions, {SHARE:.0%} of them chosen")
    with tempfile.TemporaryDirectory(prefix="bench_selection-") as folder:
        apart(write_scores, folder, images, regions)
        for name, rule in rules.items():
            report(name, apart(rule, folder, images, regions), limit=images <= LIMIT_IMAGES)


def apart(function: Callable[..., Any], *arguments: Any) -> tuple[float, float, Any]:
    """Seconds, peak memory in GB and value of a call in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measured, function, arguments).result()


def _measured(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[float, float, Any]:
    begin = time.perf_counter()
    value = function(*arguments)
    return (
        time.perf_counter() - begin,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        value,
    )


def report(name: str, result: tuple[float, float, Any], *, limit: bool = False) -> None:
    """Print the result of one measurement, and whether it is within the limits."""
    seconds, gigabytes, value = result
    verdict = (
        ("within" if seconds <= LIMIT_S and gigabytes <= LIMIT_GB else "OVER")
        + f" {LIMIT_S} s and {LIMIT_GB:.0f} GB"
        if limit
        else ""
    )
    seconds = value.pop("seconds", seconds) if isinstance(value, dict) else seconds
    print(f"{name:20s} {seconds:7.1f} s {gigabytes:6.2f} GB   {verdict}{value or ''}", flush=True)


def write_scores(folder: str, images: int, regions: int) -> None:
    """Write drawn scores of a pool, one Parquet file per part."""
    rng = generator("bench", images)
    for start in range(0, images, IMAGES_PER_PART):
        indices = np.arange(start, min(start + IMAGES_PER_PART, images))
        names = pa.array(
            [
                f"camera_{index % 7}/sequence_{index // 1000:05d}/frame_{index:08d}.jpg"
                for index in indices.tolist()
            ]
        )
        rows = len(indices) * regions
        columns = {
            "image_index": np.repeat(indices, regions),
            "image_id": names.take(pa.array(np.repeat(np.arange(len(indices)), regions))),
            "region": np.tile(np.arange(regions), len(indices)),
            "score": rng.gamma(2.0, 0.2, rows),
            "num_pixels": np.full(rows, HEIGHT * WIDTH // regions),
            "dominant": np.minimum(rng.geometric(0.3, rows) - 1, NUM_CLASSES - 1),
        }
        schema = SCORE_SCHEMA.append(pa.field("dominant", pa.int16()))
        table = pa.table(
            [pa.array(columns[field.name]).cast(field.type) for field in schema], schema=schema
        )
        pq.write_table(
            table, f"{folder}/part-{start // IMAGES_PER_PART:05d}.parquet", compression="zstd"
        )


def read_parts(folder: str, *more: str) -> Iterator[pa.Table]:
    """Yield the parts of a pool, with columns that `more` names."""
    for path in sorted(Path(folder).glob("part-*.parquet")):
        yield pq.read_table(path, columns=[*SCORE_SCHEMA.names, *more])


def topk(folder: str, images: int, regions: int) -> None:
    """Choose by rank."""
    ranked(folder, images, regions, kind="topk")


def one_per_image(folder: str, images: int, regions: int) -> None:
    """Choose by rank, one region of an image, so that most of the best are passed over."""
    ranked(folder, images, regions, kind="topk", per_image=1)


def power(folder: str, images: int, regions: int) -> None:
    """Choose by rank with power noise."""
    ranked(folder, images, regions, kind="power")


def softrank(folder: str, images: int, regions: int) -> None:
    """Choose by rank with noise on the ranks."""
    ranked(folder, images, regions, kind="softrank")


def ranked(
    folder: str, images: int, regions: int, *, kind: str, per_image: int | None = None
) -> None:
    """Choose with a rule that ranks scores."""
    k = int(images * regions * SHARE)
    rule = BATCH_RULES.parse({"kind": kind})
    assert isinstance(rule, OrderRule)
    basket = one_unit_each(k, per_image=per_image)
    rule.fill(basket, Parts(folder))
    assert len(basket.query()) == k


class Parts:
    """A pool whose scores lie in a folder, as rules on scores read it."""

    moment = Moment(seed=0, cycle=0)
    typical_cost = 1
    predicted_shares = np.zeros(0)

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def parts(self) -> Iterator[pa.Table]:
        return read_parts(self.folder)

    def candidates(self) -> Candidates:
        raise AssertionError("rules on scores choose among no candidates")


def fill(order: Order, amount: int) -> None:
    """A query of so many regions, each of which costs 1 and may lie anywhere."""
    basket = one_unit_each(amount)
    fill_in_order(basket, order, typical_cost=1)
    assert len(basket.query()) == amount


def one_unit_each(amount: int, *, per_image: int | None = None) -> Basket:
    """Return an empty query of regions that cost 1 each."""
    return Basket(
        amount,
        costs_of=lambda table: np.ones(len(table), dtype=np.int64),
        boxes_of=no_boxes,
        per_image=per_image,
    )


def no_boxes(index: int, regions: np.ndarray) -> np.ndarray:
    """Refuse to be called: distances between regions do not matter here."""
    raise AssertionError("regions may lie as near as they like")


def class_balance(folder: str, images: int, regions: int) -> None:
    """Choose by score * exp(-share of the regions with the same dominant class).

    One pass over the parts makes the histogram of classes, a second one the keys.
    """
    counts = sum(
        np.bincount(part.column("dominant").to_numpy(), minlength=NUM_CLASSES)
        for part in _columns(folder, ["dominant"])
    )
    weights = np.exp(-counts / np.sum(counts))

    def order(k: int, allows: Allows) -> pa.Table:
        allowed = (part.filter(pa.array(allows(part))) for part in read_parts(folder, "dominant"))
        parts = (
            part.append_column(
                "key",
                pa.array(
                    part.column("score").to_numpy() * weights[part.column("dominant").to_numpy()]
                ),
            )
            for part in allowed
        )
        best = merge_topk(parts, k)
        return best.append_column("reason", pa.array(["class balance"] * len(best), pa.string()))

    fill(order, int(images * regions * SHARE))


def _columns(folder: str, columns: list[str]) -> Iterator[pa.Table]:
    for path in sorted(Path(folder).glob("part-*.parquet")):
        yield pq.read_table(path, columns=columns)


def start_set(start: Callable[..., pa.Table], images: int, regions: int) -> None:
    """Choose a start set."""
    names = [
        f"camera_{index % 7}/sequence_{index // 1000:05d}/frame_{index:08d}.jpg"
        for index in range(images)
    ]
    sizes = {"height": HEIGHT, "width": WIDTH, "num_regions": regions}
    columns = {
        "image_index": np.arange(images),
        "image_id": names,
        "uri": names,
        "mask_uri": pa.nulls(images),
    }
    columns |= {name: np.full(images, value) for name, value in sizes.items()}
    manifest = pa.table(
        [pa.array(columns[field.name]).cast(field.type) for field in MANIFEST_SCHEMA],
        schema=MANIFEST_SCHEMA,
    )
    k = int(images * regions * SHARE)
    grid = Grid(rows=1, columns=regions)
    assert (
        len(
            start(
                manifest,
                grid,
                k=k,
                seed=0,
                cycle=START_CYCLE,
                remaining=np.ones(images * regions, dtype=bool),
            )
        )
        == k
    )


def on_candidates(name: str, num: int, dimensions: int, picks: int) -> dict[str, Any]:
    """Choose among candidates with features, and return seconds and quality."""
    candidates = synthetic_candidates(num, dimensions)
    begin = time.perf_counter()
    if name == "exact":
        radius = exact_radius(candidates.features, int(candidates.keys.argmax()), picks)
        seconds = time.perf_counter() - begin
        batched = kcenter(candidates, k=picks, rng=generator("bench", name))[1]
        return {
            "seconds": seconds,
            "radius": round(radius, 4),
            "ratio of kcenter's radius": round(batched / radius, 4),
        }
    rng = generator("bench", name)
    if name == "kcenter":
        radius = kcenter(candidates, k=picks, rng=rng)[1]
        return {"seconds": time.perf_counter() - begin, "radius": round(radius, 4)}
    rule = BATCH_RULES.parse({"kind": name})
    assert isinstance(rule, CandidateRule)
    if rule.reads_class_scores:
        candidates = replace(
            candidates, class_scores=candidates.probabilities * candidates.keys[:, None]
        )
    assert len(np.unique(rule.choose(candidates, k=picks, rng=rng))) == picks
    return {"seconds": time.perf_counter() - begin}


def synthetic_candidates(num: int, dimensions: int) -> Candidates:
    """Return candidates whose features lie in 300 uneven clusters; no region is labelled.

    The clusters lie on 24 directions with noise, cut at 0 as after a ReLU.
    """
    rng = generator("bench", "features")
    centres = rng.standard_normal((300, 24), dtype=np.float32)
    place = centres[np.minimum(rng.geometric(0.01, num) - 1, 299)] + 0.4 * rng.standard_normal(
        (num, 24), dtype=np.float32
    )
    features = place @ rng.standard_normal((24, dimensions), dtype=np.float32) / 5
    features += 0.1 * rng.standard_normal((num, dimensions), dtype=np.float32)
    probabilities = rng.dirichlet(np.full(NUM_CLASSES, 0.3), num).astype(np.float32)
    rows = np.arange(num)
    columns = (
        rows,
        [f"{row:07d}" for row in rows.tolist()],
        rows % 25,
        np.zeros(num),
        np.ones(num),
    )
    table = pa.table(
        [
            pa.array(column).cast(field.type)
            for column, field in zip(columns, SCORE_SCHEMA, strict=True)
        ],
        schema=SCORE_SCHEMA,
    )
    empty = np.zeros((0, dimensions), dtype=np.float32)
    return Candidates(
        table=table,
        keys=rng.random(num),
        features=features.clip(0),
        probabilities=probabilities,
        labelled=empty,
    )


def exact_radius(features: np.ndarray, first: int, picks: int) -> float:
    """Farthest-first traversal one pick a pass, by differences."""
    norms = np.einsum("nd,nd->n", features, features)
    nearest = np.full(len(features), np.inf, dtype=np.float32)
    pick = first
    for _ in range(picks):
        np.minimum(
            nearest, (norms - 2 * (features @ features[pick]) + norms[pick]).clip(0), out=nearest
        )
        nearest[pick] = 0
        pick = int(nearest.argmax())
    return float(np.sqrt(nearest.max()))


if __name__ == "__main__":
    main()
