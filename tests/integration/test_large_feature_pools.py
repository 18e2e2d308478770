"""A pool of 20,000 small images, and one that is larger than the store: memory stays flat."""

import io
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from ray_al.core.config import parse_config
from ray_al.core.storage import Storage
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop
from ray_al.ledger import Journal, fold
from ray_al.ledger.config import read_config
from ray_al.scoring.readers import load_pool_source

NUM_IMAGES = 20_000
HEIGHT, WIDTH = 16, 24
RECORD = 2 * 4 * (4 * 6 + 2 * 3)
GROWTH_MB = 60
"""Limit for a process after its first twentieth of the pool: a fifth of the stored bytes."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A few pictures under many names."""
    root = tmp_path_factory.mktemp("pool")
    rng = np.random.default_rng(0)
    for split, count in (("train", NUM_IMAGES), ("val", 4)):
        for folder, shape in (("images", (HEIGHT, WIDTH, 3)), ("masks", (HEIGHT, WIDTH))):
            (root / folder / split).mkdir(parents=True)
            if folder == "masks" and split == "train":
                continue
            contents = [
                _png(rng.integers(0, 2 if folder == "masks" else 256, shape, np.uint8))
                for _ in range(4)
            ]
            for number in range(count):
                (root / folder / split / f"{number:05d}.png").write_bytes(contents[number % 4])
    return root


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def memory_mb() -> float:
    return psutil.Process().memory_info().rss / 2**20


def fill(data, out, **store) -> tuple[str, list[float]]:
    """A run up to the end of the stage, and this process's memory at each event of it."""
    values = {
        "data": {
            "dataset": "folder",
            "root": str(data),
            "class_names": ["one", "other"],
            "image_size": [HEIGHT, WIDTH],
            "cache_gb": 0.01,
            "allow": ["shared_images"],
        },
        "model": {
            "kind": "composed",
            "backbone": {"kind": "helpers.tiny_backbones:TinyBackbone", "channels": 4},
        },
        "features": {"store": {"kind": "files", **store}, "batch_size": 64},
        "regions": {"rows": 2, "columns": 2},
        "scoring": {"workers": 0, "threads": 1, "batch_size": 64, "shard_size": 1000},
        "budget": {"start_rule": "scored", "start": 10, "per_cycle": 10, "amount": 30},
        "label": {"annotator": "files"},
        "cluster": {"host": "process"},
    }
    run_dir = create_run(parse_config(values, source="test"), str(out))
    sizes: list[float] = []

    def stop() -> bool:
        names = sorted(Path(run_dir, "journal").iterdir())
        if '"shards_embedded"' in names[-1].read_text():
            sizes.append(memory_mb())
        return '"pool_embedded"' in names[-1].read_text()

    assert run_loop(run_dir, should_stop=stop).kind == "interrupted"
    return run_dir, sizes


@pytest.mark.slow
def test_memory_is_flat_over_a_large_pool(data, tmp_path):
    run_dir, sizes = fill(data, tmp_path / "run")
    state = fold(Journal(Storage(run_dir)).events)
    assert state.embedded.num_images == NUM_IMAGES and state.embedded.views == (0, 1, 2, 3)
    assert state.embedded.num_bytes == NUM_IMAGES * 4 * RECORD
    assert len(sizes) > 15
    assert max(sizes) - sizes[len(sizes) // 20] < GROWTH_MB
    print(
        f"{1000 * state.embedded.work_seconds / NUM_IMAGES:.2f} ms, "
        f"{4 * RECORD} bytes per image; {sizes[0]:.0f} to {max(sizes):.0f} MB"
    )
    before = memory_mb()
    _read_all(run_dir)
    assert memory_mb() - before < GROWTH_MB


@pytest.mark.slow
def test_a_pool_larger_than_the_store_keeps_a_part_and_computes_the_rest(data, tmp_path):
    limit = 5000 * RECORD
    run_dir, sizes = fill(data, tmp_path / "run", limit_gb=limit / 2**30)
    state = fold(Journal(Storage(run_dir)).events)
    assert (state.embedded.num_images, state.embedded.views) == (4992, (0,))
    size = sum(path.stat().st_size for path in Path(run_dir, "features").rglob("*.npy"))
    assert limit * 0.9 < size < limit * 1.2  # with a digest a row, which small records show
    before = memory_mb()
    _read_all(run_dir)
    assert memory_mb() - before < GROWTH_MB


def _read_all(run_dir) -> None:
    """A pass over the pool as scoring does it."""
    storage = Storage(run_dir)
    manifest = fold(Journal(storage).events).created.manifest
    source = load_pool_source(read_config(storage).model_dump_json(), run_dir, manifest)
    for start in range(0, NUM_IMAGES, 64):
        records = source.records(range(start, min(start + 64, NUM_IMAGES)), 0)
        assert records.shape[1] == RECORD // 2
