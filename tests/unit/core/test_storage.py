import errno
import os
import pickle

import pytest

from ray_al.core import disk
from ray_al.core.errors import StorageError
from ray_al.core.reading import read_uri
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


ODD = ("exp[1]", "exp*", "exp?", "a::b", "{k}", "x#y", "p%20q")


@pytest.fixture(params=["disk", "memory"])
def root(request, tmp_path):
    yield str(tmp_path) if request.param == "disk" else "memory://odd-names"
    if request.param == "memory":
        Storage("memory://odd-names").remove("")


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_no_patterns(root, name):
    odd, others = (
        Storage(f"{root}/{name}"),
        [Storage(f"{root}/{other}") for other in ("exp1", "exp", "expx", "a", "b")],
    )
    for storage in (odd, *others):
        storage.create(f"cycles/{name}", b"1")
        storage.create("lease.json", b"1")
    assert odd.list("cycles") == [name]
    assert read_uri(f"{root}/{name}/cycles/{name}") == b"1"
    odd.remove("cycles")
    odd.remove("cycles")
    assert not odd.exists("cycles")
    odd.remove("")
    assert not odd.exists()
    assert all(
        storage.exists(f"cycles/{name}") and storage.exists("lease.json") for storage in others
    )


def test_the_probe_leaves_nothing(root):
    storage = Storage(f"{root}/new/run[1]")
    storage.probe()
    assert not storage.exists()
    assert Storage(root).list("") == []
    storage.create("x", b"1")
    storage.probe()
    assert storage.list("") == ["x"]


def files_below(folder):
    return [name for _, _, names in os.walk(folder) for name in names]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space is left"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission is denied"),
    ],
)
@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("create", "fsync"),
        ("create", "link"),
        ("replace", "fsync"),
        ("replace", "replace"),
        ("put", "link"),
        ("probe", "fsync"),
        ("probe", "link"),
    ],
)
def test_a_disk_that_fails_leaves_nothing_and_says_so_in_a_line(
    tmp_path, monkeypatch, number, words, call, method
):
    def fail(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    arguments = {
        "create": ("a/b", b"1"),
        "replace": ("a/b", b"1"),
        "put": ("a/b", b"1"),
        "probe": (),
    }[method]
    with pytest.raises(StorageError, match=words) as error:
        getattr(Storage(str(tmp_path)), method)(
            *arguments, **({"attempt": 1} if method == "put" else {})
        )
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)
    assert files_below(tmp_path) == []


def test_nothing_waits_for_the_disk_that_need_not_outlive_a_crash(tmp_path, monkeypatch):
    real, synced = os.fsync, []
    monkeypatch.setattr(os, "fsync", lambda number: (synced.append(number), real(number)))
    storage = Storage(str(tmp_path))
    storage.replace("status", b"1", synced=False)
    assert (synced, storage.read("status")) == ([], b"1")
    storage.replace("status", b"2")
    assert (len(synced), storage.read("status")) == (2, b"2")  # the file, then its folder


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_disk_without_hard_links_is_refused(tmp_path, monkeypatch, number):
    def fail(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(StorageError, match="no hard links"):
        Storage(str(tmp_path / "run")).probe()
    assert list(tmp_path.iterdir()) == []


def test_a_path_below_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    for method, arguments in (("probe", ()), ("create", ("x", b"1")), ("replace", ("x", b"1"))):
        with pytest.raises(StorageError, match="a part of the path is not a folder"):
            getattr(Storage(str(tmp_path / "file")), method)(*arguments)
    with pytest.raises(StorageError, match="a part of the path is not a folder"):
        Storage(str(tmp_path / "file" / "run")).probe()


def test_temporary_files_of_the_dead_are_removed(tmp_path, monkeypatch):
    """Files of this host go with their process, files of other hosts after a day."""
    storage = Storage(str(tmp_path))
    names = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            os,
            "replace",
            lambda temporary, path: names.append(temporary) or os.link(temporary, temporary + "x"),
        )
        storage.replace("a/model.pt", b"1")
    living = names[0]
    os.rename(living + "x", living)
    dead = living.replace(f"-{os.getpid()}-", "-4999999-")
    old, young = (
        tmp_path / "a" / ".model.pt.0123456789ab.tmp",
        tmp_path / "a" / ".model.pt.1123456789ab.tmp",
    )
    for path in (dead, old, young, tmp_path / "a" / "notes.tmp"):
        with open(path, "wb"):
            pass
    os.utime(old, (1, 1))
    with monkeypatch.context() as patch:  # as another container of this machine sees them
        patch.setattr(disk, "process_space", lambda: "pid:[1]")
        storage.remove_leftovers()
    assert os.path.exists(living) and os.path.exists(dead) and not old.exists()
    storage.remove_leftovers()
    assert sorted(files_below(tmp_path)) == sorted(
        [os.path.basename(living), young.name, "notes.tmp"]
    )
