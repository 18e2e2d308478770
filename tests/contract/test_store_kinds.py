"""Every store of features passes one suite, a user's own too."""

import secrets
from typing import Any, ClassVar

import numpy as np
import pytest
from helpers.feature_pools import computed, configure, fresh, no_computing, pool
from helpers.own_stores import ProcessMemory
from helpers.own_variants import own

from ray_al.core.config import parse_config
from ray_al.core.plain import load_yaml
from ray_al.core.variants import STORES, Store
from ray_al.features.fill import fill_shard
from ray_al.features.store import RecordStore

pytestmark = pytest.mark.usefixtures("small_shards")

NUM_VALUES = 6
MANY = 10**6
"""Passes over a pool, for which a store that keeps anything keeps it."""


class MemoryStore(Store):
    """A user's own: the memory of this process, with a place for each run or shared folder."""

    place: str | None = None
    opened: ClassVar[dict[str, ProcessMemory]] = {}

    def open(self, run_uri: str) -> ProcessMemory:
        """As `Store.open`."""
        return self.opened.setdefault(self.place or run_uri, ProcessMemory())

    def below(self, folder: str) -> "MemoryStore":
        """As `Store.below`."""
        return self.model_copy(update={"place": self.place or folder})


OWN = f"{__name__}:MemoryStore"
EVERY = {
    **{kind: {"kind": kind} for kind in [*STORES.kinds, OWN, *own("features.store")]},
    "files of a folder": {"kind": "files", "root": "{folder}/kept"},
    "files of an object store": {"kind": "files", "root": "memory://features{folder}"},
}


@pytest.fixture(params=EVERY.values(), ids=list(EVERY))
def settings(request, tmp_path) -> dict[str, Any]:
    """Settings of a store, with places that belong to the test alone."""
    return {key: value.format(folder=tmp_path) for key, value in request.param.items()}


@pytest.fixture
def store(settings) -> Store:
    return STORES.parse(settings)


@pytest.fixture
def opened(store, tmp_path) -> RecordStore:
    """The open store; a kind that keeps nothing has none."""
    found = store.open(str(tmp_path / "run"))
    if found is None:
        pytest.skip("it keeps nothing")
    assert isinstance(found, RecordStore)
    return found


@pytest.fixture
def folder() -> str:
    """A folder that no test uses but this one: a store may outlive a test."""
    return secrets.token_hex(8)


def records_of(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2**16, (4, NUM_VALUES), dtype=np.uint16)


USABLE = np.array([True, True, False, True])


def test_it_says_whether_it_keeps_anything(store, tmp_path):
    keeps = [store.keeps(count) for count in (1, 2, 10, MANY)]
    assert set(keeps) <= {True, False}
    assert keeps == sorted(keeps)  # more passes never make it keep less
    assert keeps[-1] == (store.open(str(tmp_path / "run")) is not None)


@pytest.mark.parametrize("kind", [*STORES.kinds, OWN, *own("features.store")])
def test_its_default_place_can_be_used(kind):
    STORES.parse({"kind": kind}).check()


def test_a_shard_comes_back_as_it_was_written(opened, folder):
    records = records_of(0)
    opened.write(f"{folder}/first", records, USABLE)
    found = opened.read(f"{folder}/first", [3, 0, 2, 3], NUM_VALUES)
    assert found is not None and found[2] is None
    for position, row in ((0, 3), (1, 0), (3, 3)):
        record = found[position]
        assert record.dtype == np.uint16 and record.shape == (NUM_VALUES,)
        assert np.array_equal(record, records[row])


def test_a_missing_shard_is_none(opened, folder):
    assert opened.read(f"{folder}/first", [0], NUM_VALUES) is None
    opened.write(f"{folder}/first", records_of(0), USABLE)
    assert opened.read(f"{folder}/second", [0], NUM_VALUES) is None
    assert opened.read(f"{folder}-others/first", [0], NUM_VALUES) is None


def test_the_shards_of_a_folder_are_listed(opened, folder):
    assert opened.names(folder) == set()
    for name in (f"{folder}/first", f"{folder}/second", f"{folder}-others/first"):
        opened.write(name, records_of(0), USABLE)
    assert opened.names(folder) == {f"{folder}/first", f"{folder}/second"}
    opened.tidy()
    assert opened.names(folder) == {f"{folder}/first", f"{folder}/second"}


def test_a_second_writer_replaces_what_the_first_wrote(opened, folder):
    for _ in range(2):
        opened.write(f"{folder}/first", records_of(0), USABLE)
    (found,) = opened.read(f"{folder}/first", [1], NUM_VALUES) or []
    assert np.array_equal(found, records_of(0)[1])
    assert opened.names(folder) == {f"{folder}/first"}


def test_it_knows_its_limit_and_its_free_space(opened):
    assert isinstance(opened.limit_bytes, int) and opened.limit_bytes > 0
    assert opened.is_near in (True, False)
    free = opened.free_bytes()
    assert free is None or free >= 0


def test_runs_below_a_folder_share_what_one_of_them_wrote(store, folder, tmp_path):
    shared = store.below(str(tmp_path / "shared"))
    assert isinstance(shared, Store)
    assert shared.below(str(tmp_path / "elsewhere")) == shared
    first, second = (shared.open(str(tmp_path / name)) for name in ("a", "b"))
    assert (first is None) == (second is None) == (store.open(str(tmp_path / "a")) is None)
    if first is not None:
        first.write(f"{folder}/first", records_of(0), USABLE)
        (found,) = second.read(f"{folder}/first", [0], NUM_VALUES) or []
        assert np.array_equal(found, records_of(0)[0])


def test_records_come_from_the_store_without_opening_an_image(
    settings, opened, scenes, tmp_path, monkeypatch
):
    config = configure(scenes, store=settings)
    source = pool(config, tmp_path / "run")
    views = range(source.num_views)
    expected = {view: computed(config, tmp_path, range(7), view) for view in views}
    for shard in range(len(source.shards)):
        assert not fill_shard(source, source.store, shard, views, threads=2)
    again = fresh(source)
    no_computing(monkeypatch)
    for view in views:
        assert np.array_equal(again.records([5, 0, 6, 0], view), expected[view][[5, 0, 6, 0]])
        assert np.array_equal(again.records(range(7), view), expected[view])


def test_records_of_a_run_do_not_depend_on_the_store(settings, scenes, tmp_path):
    config = configure(scenes, store=settings)
    records = pool(config, tmp_path / "run").records([4, 1], 0)
    assert np.array_equal(records, computed(config, tmp_path, [4, 1], 0))


def test_a_configuration_comes_back_from_its_file(settings, store, scenes):
    config = configure(scenes, store=settings)
    assert config.features.store == store
    assert parse_config(load_yaml(config.to_yaml(), source="test"), source="test") == config
