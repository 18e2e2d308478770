import pickle

import pytest

from ray_al.core.errors import StorageError
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef


@pytest.fixture(params=["disk", "memory"])
def storage(request, tmp_path):
    storage = Storage(str(tmp_path) if request.param == "disk" else "memory://storage-test")
    yield storage
    if request.param == "memory":
        storage.remove("a")


def test_create_refuses_what_exists(storage):
    storage.create("a/b", b"1")
    with pytest.raises(FileExistsError):
        storage.create("a/b", b"2")
    assert storage.read("a/b") == b"1"
    assert storage.list("a") == ["b"]


def test_put_never_spoils_another_attempt(storage):
    first = storage.put("a/part", b"one", attempt=1)
    assert storage.put("a/part", b"one", attempt=2) == first
    second = storage.put("a/part", b"two", attempt=2)
    assert second.path == "a/attempt-2/part"
    assert storage.read_ref(first) == b"one"
    assert storage.read_ref(second) == b"two"


def test_read_ref_finds_a_changed_file(storage):
    ref = storage.put("a/part", b"one", attempt=1)
    storage.replace("a/part", b"two")
    with pytest.raises(StorageError, match="differ"):
        storage.read_ref(ref)


def test_missing_file_is_named(storage):
    with pytest.raises(StorageError, match="a/none"):
        storage.read_ref(FileRef.of("a/none", b""))


def test_storage_without_exclusive_create_is_refused():
    with pytest.raises(StorageError, match="cannot refuse to overwrite"):
        Storage("http://host/run")


def test_pickles(tmp_path):
    assert pickle.loads(pickle.dumps(Storage(str(tmp_path)))).root == str(tmp_path)
