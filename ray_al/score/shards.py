"""A shard is a fixed range of the manifest: the unit of scoring work, done once."""

import functools
import io
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ray_al.core.config import RunConfig
from ray_al.core.errors import DataError
from ray_al.core.seeding import uniform_of
from ray_al.core.storage import Storage
from ray_al.core.types import SCORE_SCHEMA, FileRef
from ray_al.datasets import open_dataset
from ray_al.datasets.cache import ByteCache
from ray_al.datasets.images import read_image, resize_image
from ray_al.regions import open_regions
from ray_al.score.functions import ACQUISITIONS
from ray_al.score.scorer import Scorer

_cache: ByteCache | None = None
_cache_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """Score manifest rows `start` to `stop`; `remaining` has a bit for each of their regions that may still be chosen."""

    shard: int
    start: int
    stop: int
    remaining: bytes
    cycle: int
    seed: int
    run_uri: str
    weights: FileRef | None
    output: str
    attempt: int


@dataclass(frozen=True, kw_only=True)
class ShardResult:
    """What came of a task: the part, or None where nothing was left, seconds of work, and (image_id, error) of broken images."""

    shard: int
    file: FileRef | None
    num_rows: int
    num_images: int
    seconds: float
    quarantined: tuple[tuple[str, str], ...] = ()


def make_tasks(config: RunConfig, manifest: pa.Table, remaining: np.ndarray, *, done: set[int], **common: Any) -> Iterator[ShardTask]:
    """The tasks of a cycle that are not `done` and have something left to choose.

    Args:
        remaining: bool (regions of the pool,), in the manifest's order.
        common: the other fields of `ShardTask`.
    """
    offsets = np.concatenate([[0], np.cumsum(manifest.column("num_regions").to_numpy(), dtype=np.int64)])
    size = config.score.shard_size
    for shard, start in enumerate(range(0, len(manifest), size)):
        stop = min(start + size, len(manifest))
        bits = remaining[offsets[start] : offsets[stop]]
        if shard not in done and bits.any():
            yield ShardTask(shard=shard, start=start, stop=stop, remaining=np.packbits(bits).tobytes(), **common)


def score_shard(task: ShardTask, config: RunConfig) -> ShardResult:
    """Score a shard and write its part; the same bytes wherever and however often it runs."""
    began = time.perf_counter()
    storage = Storage(task.run_uri)
    manifest = _read_manifest(task.run_uri).slice(task.start, task.stop - task.start)
    images = _images_with_rest(task, manifest)
    quarantined: list[tuple[str, str]] = []
    if ACQUISITIONS[config.strategy.score].needs_model:
        scores, quarantined = _network_scores(task, config, images)
    else:
        scores = [uniform_of(task.seed, task.cycle, image["image_id"], image["num_regions"]).astype(np.float32) for image in images]
    broken = {image_id for image_id, _ in quarantined}
    images = [image for image in images if image["image_id"] not in broken]
    table = _table(images, scores, open_regions(config.regions))
    file = None
    if len(table):
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        file = storage.put(f"{task.output}/part-{task.shard:05d}.parquet", buffer.getvalue(), attempt=task.attempt)
    return ShardResult(
        shard=task.shard, file=file, num_rows=len(table), num_images=len(images), seconds=time.perf_counter() - began, quarantined=tuple(quarantined)
    )


def _images_with_rest(task: ShardTask, manifest: pa.Table) -> list[dict[str, Any]]:
    """Manifest rows of the images with a region left, each with `rest`, the regions (int32) that are."""
    counts = manifest.column("num_regions").to_numpy()
    bits = np.unpackbits(np.frombuffer(task.remaining, dtype=np.uint8), count=int(counts.sum())).astype(bool)
    rests = np.split(bits, np.cumsum(counts)[:-1])
    rows = manifest.select(["image_index", "image_id", "uri", "height", "width", "num_regions"]).to_pylist()
    return [{**row, "rest": np.flatnonzero(rest).astype(np.int32)} for row, rest in zip(rows, rests, strict=True) if rest.any()]


def _network_scores(task: ShardTask, config: RunConfig, images: list[dict[str, Any]]) -> tuple[list[np.ndarray], list[tuple[str, str]]]:
    assert task.weights is not None
    scorer = _load_scorer(task.run_uri, task.weights, config.model_dump_json())
    return score_files(scorer, images)


def score_files(scorer: Scorer, images: Sequence[Mapping[str, Any]]) -> tuple[list[np.ndarray], list[tuple[str, str]]]:
    """Score files, the next ones being decoded by threads while the network works.

    Args:
        images: `image_id`, `uri`, `height` and `width` of each.

    Returns:
        float32 (R,) of each readable image, and (image_id, error) of the others.
    """
    scores: list[np.ndarray] = []
    quarantined: list[tuple[str, str]] = []
    pixels: list[np.ndarray] = []
    sizes: list[tuple[int, int]] = []

    def flush() -> None:
        scores.extend(scorer.score_images(pixels, sizes))
        pixels.clear()
        sizes.clear()

    with ThreadPoolExecutor(scorer.config.score.threads) as executor:
        decoded = [executor.submit(_decode, image["uri"], scorer.config) for image in images]
        for image, future in zip(images, decoded, strict=True):
            try:
                pixels.append(future.result())
            except DataError as error:
                quarantined.append((image["image_id"], str(error)))
                continue
            sizes.append((image["height"], image["width"]))
            if len(pixels) == scorer.batch_size:
                flush()
    flush()
    return scores, quarantined


def _table(images: list[dict[str, Any]], scores: list[np.ndarray], regions: Any) -> pa.Table:
    if not images:
        return SCORE_SCHEMA.empty_table()
    lengths = [len(image["rest"]) for image in images]
    pixels = [regions.num_pixels(image["height"], image["width"])[image["rest"]] for image in images]
    columns = [
        np.repeat([image["image_index"] for image in images], lengths),
        np.repeat(np.array([image["image_id"] for image in images], dtype=object), lengths),
        np.concatenate([image["rest"] for image in images]),
        np.concatenate([score[image["rest"]] for image, score in zip(images, scores, strict=True)]),
        np.concatenate(pixels),
    ]
    return pa.table([pa.array(column, type=field.type) for column, field in zip(columns, SCORE_SCHEMA, strict=True)], schema=SCORE_SCHEMA)


def _decode(uri: str, config: RunConfig) -> np.ndarray:
    """An image at the size of scoring, kept between cycles while it fits."""
    global _cache
    limit = int(config.data.cache_gb * 2**30)
    key = (uri, config.data.image_size)
    with _cache_lock:
        if _cache is None or _cache.limit_bytes != limit:
            _cache = ByteCache(limit)
        cache = _cache
        image = cache.get(key)
    if image is None:
        image = resize_image(read_image(uri), config.data.image_size)
        with _cache_lock:
            cache.put(key, image)
    return image


@functools.lru_cache(maxsize=2)
def _read_manifest(run_uri: str) -> pa.Table:
    return pq.read_table(io.BytesIO(Storage(run_uri).read("manifest.parquet")))


@functools.lru_cache(maxsize=1)
def _load_scorer(run_uri: str, weights: FileRef, config_json: str) -> Scorer:
    """Cached by the digest of the weights: idle Ray workers serve many shards and cycles."""
    import torch

    config = RunConfig.model_validate_json(config_json)
    device = "cuda" if config.score.gpus_per_worker and torch.cuda.is_available() else "cpu"
    num_classes = open_dataset(config.data).num_classes
    return Scorer(config, num_classes, Storage(run_uri).read_ref(weights), device=device)
