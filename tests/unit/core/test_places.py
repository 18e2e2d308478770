"""The meaning of stores' errors; the exceptions imitate those of their clients."""

import errno
import pickle
import sys

import pytest
from click.testing import CliRunner

from ray_al.cli import main
from ray_al.core.config import DataConfig
from ray_al.core.errors import ConfigError, StorageError, StoreUnavailableError
from ray_al.core.places import (
    before_work,
    is_folder,
    open_place,
    storage_error,
    storage_errors,
)
from ray_al.core.reading import read_uri
from ray_al.core.storage import EXCLUSIVE_PROTOCOLS, Storage
from ray_al.datasets import open_dataset
from ray_al.datasets.listing import IMAGE_SUFFIXES, list_files, read_lines

PLACE = "s3://bucket/x"


def client_error(
    name: str, text: str = "told", bases: tuple[type, ...] = (Exception,), **attributes
) -> Exception:
    error = type(name, bases, {"__module__": "client"})(text)
    for key, value in attributes.items():
        setattr(error, key, value)
    return error


def answered(status: int, code: str, wrapped: type[Exception] = OSError) -> Exception:
    """As s3fs wraps an answer of the store."""
    error = wrapped(f"answer {code}")
    error.__cause__ = client_error(
        "ClientError",
        response={"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}},
    )
    return error


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (
            answered(403, "SignatureDoesNotMatch", PermissionError),
            StorageError,
            ["refuses access", "AWS_SECRET_ACCESS_KEY", "every node"],
        ),
        (answered(403, "AccessDenied", PermissionError), StorageError, ["refuses access"]),
        (PermissionError("Forbidden"), StorageError, ["refuses access"]),
        (
            client_error("NoCredentialsError", "Unable to locate credentials"),
            StorageError,
            ["no usable credentials", "AWS_ACCESS_KEY_ID"],
        ),
        (client_error("DefaultCredentialsError"), StorageError, ["no usable credentials"]),
        (
            client_error("HttpError", "Invalid Credentials", code=401),
            StorageError,
            ["refuses access"],
        ),
        (client_error("HttpError", "busy", code=503), StoreUnavailableError, ["answers 503"]),
        (answered(503, "SlowDown"), StoreUnavailableError, ["answers 503", "SlowDown"]),
        (
            client_error("EndpointConnectionError", "Could not connect"),
            StoreUnavailableError,
            ["cannot be reached", "AWS_ENDPOINT_URL"],
        ),
        (ConnectionResetError(104, "reset"), StoreUnavailableError, ["cannot be reached"]),
        (TimeoutError("slow"), StoreUnavailableError, ["cannot be reached"]),
        (answered(404, "NoSuchBucket", FileNotFoundError), StorageError, ["no such bucket"]),
        (client_error("SomethingElse", "two\nlines"), StorageError, ["SomethingElse: two lines"]),
    ],
)
def test_errors_are_one_line_with_the_place_and_the_remedy(error, kind, words):
    with pytest.raises(StorageError) as caught, storage_errors(PLACE, missing=True):
        raise error
    assert type(caught.value) is kind
    text = str(caught.value)
    assert text.startswith(f"{PLACE}: ")
    assert "; " in text
    assert "\n" not in text
    assert all(word in text for word in words), text
    assert str(pickle.loads(pickle.dumps(caught.value))) == text


def test_answers_and_our_own_faults_pass():
    for error in (
        FileExistsError("x"),
        FileNotFoundError("x"),
        TypeError("x"),
        KeyError("x"),
        KeyboardInterrupt(),
    ):
        with pytest.raises(type(error)), storage_errors(PLACE, missing=True):
            raise error
    with pytest.raises(StorageError, match="no such file"), storage_errors("/disk/x"):
        raise FileNotFoundError(2, "No such file or directory")


def test_before_work_it_is_wrong_use():
    with pytest.raises(ConfigError, match="data.root: s3://bucket/x"), before_work("data.root"):
        raise storage_error(ConnectionResetError(104, "reset"), PLACE)


def test_a_data_root_that_is_a_file_is_called_a_file(tmp_path):
    (tmp_path / "images.zip").write_bytes(b"PK")
    data = DataConfig(dataset="folder", root=str(tmp_path / "images.zip"), class_names=("a", "b"))
    with pytest.raises(ConfigError, match="data.root: a file, not a folder: '.*images.zip'"):
        open_dataset(data)


@pytest.fixture
def bare(monkeypatch):
    """An environment without any package for object stores."""
    known = sys.modules[
        "fsspec.registry"
    ]._registry  # `fsspec.registry` itself is a read-only view of it
    for protocol in ("s3", "s3a", "gs", "gcs", "az", "abfs"):
        monkeypatch.delitem(known, protocol, raising=False)
    for package in ("s3fs", "gcsfs", "adlfs"):
        monkeypatch.setitem(sys.modules, package, None)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("s3://b/x", ["s3://", "pip install 'ray_al[s3]'"]),
        ("gs://b/x", ["gs://", "pip install 'ray_al[gcs]'"]),
        ("az://b/x", ["az://", "adlfs"]),
        ("blob://b/x", ["unknown protocol 'blob'"]),
        ("zip://::x.zip", ["archives are not supported"]),
        ("zip://in::file:///x.zip", ["archives are not supported"]),
        ("simplecache::s3://b/x", ["chains"]),
        ("simplecache://x", ["simplecache://"]),
    ],
)
def test_what_cannot_be_opened_is_named_with_the_remedy(bare, place, words):
    for open_it in (
        open_place,
        read_uri,
        is_folder,
        lambda place: list_files(place, "train", IMAGE_SUFFIXES),
        lambda place: read_lines(place, "x"),
    ):
        with pytest.raises(StorageError) as error:
            open_it(place)
        assert str(error.value).startswith(place)
        assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize(
    "place", ["az://b/x", "https://host/x", "zip://x", "simplecache::s3://b/x"]
)
def test_run_directories_need_storage_that_refuses_to_overwrite(bare, place):
    with pytest.raises(StorageError, match="cannot refuse to overwrite.*s3"):
        Storage(place)
    with pytest.raises(StorageError, match="unknown protocol 'blob'; give a path on a disk"):
        Storage("blob://x")
    assert "s3" in EXCLUSIVE_PROTOCOLS


@pytest.mark.parametrize("root", ["memory://odd-data", "disk"])
def test_files_with_odd_names_are_listed_and_read(tmp_path, root):
    root = str(tmp_path) if root == "disk" else root
    names = [
        "a::b.png",
        "s*r.png",
        "q?x.png",
        "[1].png",
        "{k}.png",
        "a#b.png",
        "p%20q.png",
        "sub dir/ü.png",
    ]
    storage = Storage(f"{root}/da[t]a::1")
    for number, name in enumerate(names):
        storage.create(f"train/{name}", bytes([number]))
    storage.create("train.txt", b"a\nb\n")
    found = list_files(storage.root, "train", IMAGE_SUFFIXES)
    assert {name: read_uri(uri) for name, uri in found.items()} == {
        f"train/{name}": bytes([number]) for number, name in enumerate(names)
    }
    assert read_lines(storage.root, "train.txt") == ["a", "b"]
    assert read_lines(storage.root, "none.txt") is None
    assert is_folder(storage.root)
    assert not is_folder(f"{storage.root}/none")
    storage.remove("")


@pytest.mark.parametrize(
    ("root", "words"),
    [
        ("memory://none", "synthetic scenes are only written to a disk"),
        ("{file}/data", "a part of the path is not a folder"),
        ("{file}", "a part of the path is not a folder"),
    ],
)
def test_synthetic_scenes_that_cannot_be_written_are_wrong_use(tmp_path, monkeypatch, root, words):
    (tmp_path / "file").write_text("x")
    monkeypatch.chdir(tmp_path)
    data = DataConfig(
        dataset="synthetic",
        root=root.format(file=tmp_path / "file"),
        image_size=(16, 16),
        num_images=1,
    )
    with pytest.raises(ConfigError, match=f"data.root: .*{words}"):
        open_dataset(data)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_disk_that_is_full_keeps_no_half_of_the_synthetic_scenes(tmp_path, monkeypatch):
    monkeypatch.setattr("ray_al.datasets.synthetic.draw_scene", full_disk)
    data = DataConfig(
        dataset="synthetic", root=str(tmp_path / "data"), image_size=(16, 16), num_images=1
    )
    with pytest.raises(ConfigError, match="data.root: .*/data: no space is left"):
        open_dataset(data)
    assert list(tmp_path.iterdir()) == []


def full_disk(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_memory_path_with_colons_is_the_one_that_was_written():
    fs, path = open_place("memory://odd-colons/a::b")
    assert path == "/odd-colons/a::b"
    fs.pipe_file(path, b"1")
    assert read_uri("memory://odd-colons/a::b") == b"1"
    fs.rm_file(path)


@pytest.mark.parametrize(
    "command",
    [
        ["run", "{config}", "--out", "{place}"],
        ["run", "{place}/c.yaml", "--out", "{folder}/new"],
        [
            "run",
            "{config}",
            "--set",
            "data.dataset=camvid",
            "--set",
            "data.root={place}",
            "--out",
            "{folder}/new",
        ],
        ["run", "{config}", "--set", "model.weights={place}", "--out", "{folder}/new"],
        [
            "datasets",
            "check",
            "{config}",
            "--set",
            "data.dataset=camvid",
            "--set",
            "data.root={place}",
        ],
        ["sweep", "--resume", "{place}"],
        ["sweep", "{sweep}", "--out", "{place}"],
        ["compare", "{place}", "--out", "{folder}/new"],
        ["compare", "{folder}", "--out", "{place}"],
        *(
            [name, "{place}"]
            for name in (
                "resume",
                "status",
                "log",
                "verify",
                "final",
                "upper-bound",
                "report",
                "replay",
            )
        ),
    ],
    ids=" ".join,
)
def test_every_command_refuses_a_place_that_cannot_be_opened(bare, tmp_path, monkeypatch, command):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "c.yaml").write_text(
        "data: {dataset: synthetic, num_images: 1, image_size: [32, 48]}\n"
    )
    (tmp_path / "s.yaml").write_text(
        "name: s\nbase: c.yaml\nseeds: [0]\nspace: {strategy.acquisition: [entropy]}\n"
    )
    names = {
        "config": tmp_path / "c.yaml",
        "sweep": tmp_path / "s.yaml",
        "place": "gs://bucket/x",
        "folder": tmp_path,
    }
    done = CliRunner().invoke(main, [part.format(**names) for part in command])
    assert done.exit_code == 2, done.output
    (line,) = done.output.splitlines()
    assert "gs://bucket/x" in line
    assert "pip install 'ray_al[gcs]'" in line
    assert not (tmp_path / "new").exists()


def test_a_default_place_that_cannot_be_opened_is_refused(bare, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AL_RUNS", "gs://bucket/runs")
    (tmp_path / "c.yaml").write_text(
        "data: {dataset: synthetic, num_images: 1, image_size: [32, 48]}\n"
    )
    done = CliRunner().invoke(main, ["run", str(tmp_path / "c.yaml")])
    assert done.exit_code == 2
    assert "gs://bucket/runs/run-" in done.output
    assert "pip install 'ray_al[gcs]'" in done.output
