"""Records are the same bytes from memory, store and backbone, whatever happened to the store."""

import errno
import logging
import os
from concurrent.futures import ThreadPoolExecutor

import fsspec
import numpy as np
import pytest
import torch
from helpers.feature_pools import computed, configure, fresh, no_computing, pool
from PIL import Image

from ray_al.core.config import parse_config
from ray_al.core.errors import DataError, StorageError
from ray_al.core.reading import stamp_of_uri
from ray_al.datasets import open_dataset
from ray_al.datasets.synthetic import write_synthetic
from ray_al.features import shards as shards_module
from ray_al.features.embed import Embedder
from ray_al.features.files import ShardFiles
from ray_al.features.fill import fill_shard
from ray_al.features.plan import plan_store
from ray_al.features.source import FeatureSource, split_source

pytestmark = pytest.mark.usefixtures("small_shards")

NUM_VALUES = 6


def damage_one(folder, change) -> None:
    path = sorted(folder.rglob("*.npy"))[0]
    data = bytearray(path.read_bytes())
    path.unlink()
    path.write_bytes(change(data))


def test_what_stands_is_never_computed_again(scenes, tmp_path, monkeypatch):
    source = pool(configure(scenes), tmp_path)
    fill_shard(source, source.store, 0, [0, 1])
    files = {path: path.stat().st_ino for path in (tmp_path / "features").rglob("*.npy")}
    no_computing(monkeypatch)
    fill_shard(fresh(source), source.store, 0, [0, 1])
    assert {path: path.stat().st_ino for path in (tmp_path / "features").rglob("*.npy")} == files


def test_records_do_not_depend_on_what_is_computed_beside_them(scenes, tmp_path):
    config = configure(scenes, batch_size=3)
    whole = computed(config, tmp_path, range(7), 0)
    for numbers in ([4], [6, 5, 4, 3, 2, 1, 0], [2, 4]):
        assert np.array_equal(computed(config, tmp_path, numbers, 0), whole[numbers])


def test_two_writers_write_the_same_bytes(scenes, tmp_path):
    sources = [
        pool(
            configure(scenes, store={"kind": "files", "root": str(tmp_path / name)}),
            tmp_path / f"run-{name}",
        )
        for name in ("a", "b")
    ]
    for source, threads in zip(sources, (1, 3), strict=True):
        fill_shard(source, source.store, 1, [0, 2], threads)
    first, second = (
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*.npy")
        }
        for name in ("a", "b")
    )
    assert first == second and len(first) == 2


def test_writers_and_readers_at_the_same_time_do_not_disturb_each_other(scenes, tmp_path, caplog):
    config = configure(scenes, store={"kind": "files", "root": str(tmp_path / "kept")})
    expected = computed(config, tmp_path, range(7), 1)
    sources = [fresh(pool(config, tmp_path / f"run-{number}")) for number in range(4)]

    def work(source: FeatureSource) -> np.ndarray:
        for shard in range(len(source.shards)):
            fill_shard(source, source.store, shard, [0, 1])
        return source.records(range(7), 1)

    with ThreadPoolExecutor(len(sources)) as executor:
        assert all(np.array_equal(records, expected) for records in executor.map(work, sources))
    assert not caplog.text
    assert len([path for path in (tmp_path / "kept").rglob("*") if path.is_file()]) == 6


def test_what_a_killed_writer_left_is_removed(tmp_path):
    store = ShardFiles(str(tmp_path), 1)
    store.write("a/b", np.zeros((1, NUM_VALUES), dtype=np.uint16), np.array([True]))
    (path,) = tmp_path.rglob("*.npy")
    left = path.with_name(f".{path.name}.0123456789ab.tmp")
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    store.tidy()
    assert list(tmp_path.rglob("*")) == [path.parent, path]
    assert store.names("a") == {"a/b"}


def test_a_stamp_changes_with_its_file(tmp_path):
    for uri in (str(tmp_path / "one"), f"memory://stamps-{tmp_path.name}/one"):
        seen = [stamp_of_uri(uri)]
        for data in (b"a", b"bb", b"longer"):
            with fsspec.open(uri, "wb") as file:
                file.write(data)
            seen.append(stamp_of_uri(uri))
        assert seen[0] == "" and len(set(seen)) == 4


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-20],
        lambda data: data[:50],
        lambda data: b"",
        lambda data: b"no features",
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data + b"more",
    ],
    ids=["cut", "cut in its head", "empty", "something else", "a bit", "longer"],
)
@pytest.mark.parametrize("place", ["disk", "object store"])
def test_a_damaged_shard_is_computed_anew_with_a_warning(scenes, tmp_path, caplog, change, place):
    config = configure(scenes)
    source = pool(config, tmp_path)
    fill_shard(source, source.store, 0, [0])
    expected = computed(config, tmp_path, [0, 1, 2], 0)
    damage_one(tmp_path / "features", change)
    again = fresh(source)
    again.store.is_near = place == "disk"
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(again.records([0, 1, 2], 0), expected)
    assert "damaged" in caplog.text and "computed again" in caplog.text
    assert not fill_shard(again, again.store, 0, [0])
    caplog.clear()
    assert np.array_equal(fresh(source).records([0, 1, 2], 0), expected)
    assert not caplog.text


def test_a_file_under_the_name_of_another_one_is_damaged(tmp_path, caplog):
    store = ShardFiles(str(tmp_path), 10**9)
    records = np.arange(2 * NUM_VALUES, dtype=np.uint16).reshape(2, NUM_VALUES)
    store.write("a/first", records, np.array([True, True]))
    (tmp_path / "a" / "second.npy").write_bytes((tmp_path / "a" / "first.npy").read_bytes())
    assert store.read("a/second", [0], NUM_VALUES) is None and "digest" in caplog.text
    assert np.array_equal(store.read("a/first", [1, 0], NUM_VALUES), records[::-1])
    assert store.names("a") == {"a/first"} and store.names("b") == set()


def test_no_damaged_byte_is_taken_for_a_record(tmp_path, caplog):
    records = np.arange(2 * NUM_VALUES, dtype=np.uint16).reshape(2, NUM_VALUES)
    ShardFiles(str(tmp_path), 1).write("a/b", records, np.array([True, True]))
    whole = (tmp_path / "a" / "b.npy").read_bytes()
    for position in range(len(whole)):
        data = bytearray(whole)
        data[position] ^= 1
        (tmp_path / "a" / "b.npy").write_bytes(data)
        assert ShardFiles(str(tmp_path), 1).read("a/b", [0, 1], NUM_VALUES) is None


def test_a_file_is_read_by_numpy_alone(tmp_path):
    records = np.arange(2 * NUM_VALUES, dtype=np.uint16).reshape(2, NUM_VALUES)
    ShardFiles(str(tmp_path), 1).write("a/b", records, np.array([True, False]))
    table = np.load(tmp_path / "a" / "b.npy", mmap_mode="r")
    assert np.array_equal(table["record"][0], records[0]) and not table["digest"][1].any()


def test_each_record_is_verified_once_a_process(scenes, tmp_path, monkeypatch):
    source = pool(configure(scenes), tmp_path)
    fill_shard(source, source.store, 0, [0])
    source = fresh(source)
    source._cache.limit_bytes = 0
    source.records([1, 2], 0)
    monkeypatch.setattr(
        "ray_al.features.files._digest", lambda *arguments: pytest.fail("verified again")
    )
    source.records([1, 2], 0)


def test_an_image_that_was_replaced_is_computed_anew(tmp_path):
    write_synthetic(str(tmp_path / "data"), num_images=4, seed=0)
    config = configure(str(tmp_path / "data"))
    source = pool(config, tmp_path)
    fill_shard(source, source.store, 0, [0])
    path = tmp_path / "data" / "train" / "00001.png"
    Image.fromarray(np.asarray(Image.open(path))[::-1]).save(path)
    again = fresh(source)
    expected = computed(config, tmp_path, [0, 1, 2], 0)
    assert np.array_equal(again.records([0, 1, 2], 0), expected)
    assert not np.array_equal(expected[1], source.records([1], 0)[0])


def test_moved_data_keeps_its_features(tmp_path, monkeypatch):
    write_synthetic(str(tmp_path / "data"), num_images=3, seed=0)
    source = pool(configure(str(tmp_path / "data")), tmp_path)
    fill_shard(source, source.store, 0, [0, 2])
    expected = source.records([0, 1, 2], 2)
    os.rename(tmp_path / "data", tmp_path / "moved")
    moved = pool(configure(str(tmp_path / "moved")), tmp_path)
    no_computing(monkeypatch)
    assert np.array_equal(moved.records([0, 1, 2], 2), expected)


def test_broken_images_leave_the_others_of_their_shard(tmp_path):
    write_synthetic(str(tmp_path / "data"), num_images=4, seed=0)
    config = configure(str(tmp_path / "data"))
    source = pool(config, tmp_path)
    path = tmp_path / "data" / "train" / "00001.png"
    path.write_bytes(path.read_bytes()[:700])
    for one in (source, fresh(source)):  # computed, then found in the store
        ((number, error),) = fill_shard(one, one.store, 0, [0, 1])
        assert number == 1 and "00001.png" in error
    assert source.records([0, 2], 0).shape[0] == 2
    with pytest.raises(DataError, match="00001.png"):
        source.records([0, 1], 0)


def test_another_split_fills_the_store_as_it_is_read(scenes, tmp_path, monkeypatch):
    config = configure(scenes)
    dataset = open_dataset(config.data)
    source = split_source(config, str(tmp_path), dataset, "val")
    expected = source.records([0], 0)
    again = split_source(config, str(tmp_path), dataset, "val")
    no_computing(monkeypatch)
    assert np.array_equal(again.records([0, 1, 2], 0)[:1], expected)


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(scenes, tmp_path, monkeypatch, caplog):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    config = configure(scenes)
    source = pool(config, tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError) as error:
        fill_shard(source, source.store, 0, [0])
    assert "features" in str(error.value) and "\n" not in str(error.value)
    assert not [path for path in (tmp_path / "features").rglob("*") if path.is_file()]
    beside = split_source(config, str(tmp_path), open_dataset(config.data), "val")
    assert len(beside.records([0, 1], 0)) == 2  # what cannot be kept is computed
    assert "not stored" in caplog.text


def test_the_mirrored_image_is_a_view_whatever_the_views_are(scenes, tmp_path):
    source = pool(configure(scenes, views=[{"kind": "crop"}]), tmp_path)
    assert (source.num_views, source.mirror_view) == (2, 2)
    turned = source.embedder.records([np.ascontiguousarray(source.image(3)[:, ::-1])])
    assert np.array_equal(source.records([3], 2), turned)
    assert pool(configure(scenes), tmp_path).mirror_view == 1


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"image_size": [24, 24]}},
        {"data": {"normalize": "none"}},
        {"features": {"batch_size": 3}},
        {"model": {"backbone": {"kind": "helpers.tiny_backbones:TinyBackbone", "channels": 5}}},
        {"scoring": {"gpus_per_worker": 1}},
    ],
    ids=str,
)
def test_what_a_record_follows_from_names_its_folder(scenes, tmp_path, change):
    values = configure(scenes).model_dump(mode="json")
    for section, keys in change.items():
        values[section] |= keys
    first, second = (
        pool(configure(scenes), tmp_path),
        pool(parse_config(values, source="test"), tmp_path),
    )
    assert first.folder(0) != second.folder(0)
    assert len({first.folder(view) for view in range(4)}) == 4


def test_weights_name_the_folder_and_what_else_a_run_sets_does_not(scenes, tmp_path):
    values = configure(scenes).model_dump(mode="json")
    values |= {"seed": 5, "train": {"steps": 3}, "strategy": {"acquisition": "equal"}}
    values["model"]["head"] = {"kind": "fpn"}
    source, other = (
        pool(configure(scenes), tmp_path),
        pool(parse_config(values, source="test"), tmp_path),
    )
    assert source.name(1, 2) == other.name(1, 2)
    embedder = Embedder(source.config)
    with torch.no_grad():
        next(embedder.backbone.parameters()).add_(1)
    assert embedder.digest != source.embedder.digest


PLAN = {"num_images": 1000, "shard_size": 64, "record_bytes": 10, "trained": range(4)}


@pytest.mark.parametrize(
    ("limit", "needed", "views", "num_images", "num_shards"),
    [
        (40_000, [0], (0, 1, 2, 3), 1000, 16),
        (40_000, [0, 4], (0, 4), 1000, 16),
        (50_000, [0, 4], (0, 1, 2, 3, 4), 1000, 16),
        (39_999, [0], (0,), 1000, 16),
        (10_000, [0], (0,), 1000, 16),
        (9_999, [0], (0,), 960, 15),
        (9_999, [0, 1], (0, 1), 448, 7),
        (639, [0], (0,), 0, 0),
        (0, [0], (0,), 0, 0),
    ],
)
def test_what_is_stored_fits_into_the_limit(limit, needed, views, num_images, num_shards):
    plan = plan_store(limit_bytes=limit, needed=needed, **PLAN)
    assert (plan.views, plan.num_images, plan.num_shards) == (views, num_images, num_shards)
    assert plan.num_bytes == len(views) * num_images * 10 <= limit


def test_a_shard_of_large_records_holds_fewer_images(monkeypatch):
    monkeypatch.setattr(shards_module, "SHARD", 64)
    assert [shards_module.shard_size(size) for size in (1, 2 * 2**20, 16 * 2**20, 2**30)] == [
        64,
        64,
        8,
        1,
    ]
