"""A failed read says nothing about a file: it is repeated, then ends the work with the reason."""

import builtins
import errno
import json
import pickle
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ray_al.core import reading
from ray_al.core.config import DataConfig, parse_config
from ray_al.core.errors import BrokenImagesError, ConfigError, DataError, RayALError, ReadError
from ray_al.core.reading import read_uri, retried
from ray_al.core.storage import Storage
from ray_al.datasets import open_dataset
from ray_al.datasets.check import check_dataset
from ray_al.datasets.images import read_image, read_image_size, read_pool_image
from ray_al.datasets.manifest import build_manifest
from ray_al.datasets.masks import MaskDecoder, read_mask, read_mask_size
from ray_al.datasets.synthetic import write_synthetic
from ray_al.label.truth import ground_truth, is_void
from ray_al.models import build_model
from ray_al.scoring.batches import map_batches
from ray_al.scoring.inputs import InputFormat
from ray_al.scoring.readers import PixelReader

DECODER = MaskDecoder(num_classes=3)
FAULTS: dict[str, Any] = {
    "disk": OSError(errno.EIO, "Input/output error"),
    "files": OSError(errno.EMFILE, "Too many open files"),
    "forbidden": PermissionError(errno.EACCES, "Forbidden"),
    "busy": OSError(errno.EBUSY, "Please reduce your request rate."),
    "timeout": TimeoutError("timed out"),
    "connection": ConnectionResetError(errno.ECONNRESET, "reset by peer"),
    "stale": OSError(errno.ESTALE, "Stale file handle"),
    "memory": MemoryError("no memory"),
}


@pytest.fixture(autouse=True)
def slept(monkeypatch):
    """No test waits; how long it would have."""
    waits: list[float] = []
    monkeypatch.setattr("ray_al.core.reading.time.sleep", waits.append)
    return waits


@pytest.fixture
def broken_disk(monkeypatch):
    """break_(path, fault, times): opening `path` fails so often (None: always)."""
    real = builtins.open

    def break_(path, fault: Exception, times: int | None = None) -> list[str]:
        failed: list[str] = []

        def fake(file, *arguments, **options):
            if str(file) == str(path) and (times is None or len(failed) < times):
                failed.append(str(file))
                raise fault
            return real(file, *arguments, **options)

        monkeypatch.setattr(builtins, "open", fake)
        return failed

    return break_


@pytest.fixture
def files(tmp_path):
    Image.fromarray(np.arange(600, dtype=np.uint8).reshape(10, 20, 3)).save(tmp_path / "image.png")
    Image.fromarray(np.ones((10, 20), np.uint8)).save(tmp_path / "mask.png")
    (tmp_path / "config.yaml").write_text("name: x")
    return tmp_path


READERS: dict[str, Any] = {
    "image": ("image.png", lambda path: read_image(path)),
    "image size": ("image.png", lambda path: read_image_size(path)),
    "mask": ("mask.png", lambda path: read_mask(path, DECODER)),
    "mask size": ("mask.png", lambda path: read_mask_size(path)),
    "image by URI": ("image.png", lambda path: read_image(f"file://{path}")),
    "record of a run": (
        "image.png",
        lambda path: Storage(str(Path(path).parent)).read("image.png"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("reader", READERS)
def test_what_reading_raises_is_tried_again_and_is_never_a_broken_file(
    files, broken_disk, slept, reader, fault
):
    name, read = READERS[reader]
    expected = read(str(files / name))
    broken_disk(files / name, FAULTS[fault])
    with pytest.raises(
        ReadError, match=rf"{name}: could not be read.*{type(FAULTS[fault]).__name__}"
    ):
        read(str(files / name))
    assert slept == list(reading.READ_WAITS_S)
    broken_disk(files / name, FAULTS[fault], times=3)
    assert np.array_equal(read(str(files / name)), expected)


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_file_is_known_at_once(files, slept, reader):
    name, read = READERS[reader]
    (files / name).unlink()
    with pytest.raises(RayALError, match="missing"):
        read(str(files / name))
    assert not slept


@pytest.mark.parametrize("reader", ["image", "image size", "mask", "mask size", "image by URI"])
def test_a_missing_and_a_cut_off_file_are_faults_of_the_data(files, slept, reader):
    name, read = READERS[reader]
    path = files / name
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DataError, match=f"{name}: cannot be read as"):
        read(str(path))
    path.unlink()
    with pytest.raises(DataError, match=f"{name}: the file is missing; put it back"):
        read(str(path))
    assert not slept


def test_errors_of_a_stores_client_are_no_faults_of_the_file(monkeypatch, slept):
    """botocore's are no OSError."""

    class NoAnswer(Exception):
        pass

    fs = fsspec.filesystem("memory")
    fs.pipe_file("/reading/a.bin", b"abc")
    answers = [NoAnswer("no answer"), NoAnswer("no answer")]
    real = type(fs).cat_file

    def cat_file(self, path, *arguments, **options):
        if answers:
            raise answers.pop()
        return real(self, path, *arguments, **options)

    monkeypatch.setattr(type(fs), "cat_file", cat_file)
    assert read_uri("memory://reading/a.bin") == b"abc"
    assert slept == [0.5, 1.0]
    answers += [NoAnswer("no answer")] * 9
    with pytest.raises(
        ReadError, match="memory://reading/a.bin: could not be read.*NoAnswer: no answer"
    ):
        read_uri("memory://reading/a.bin")


def test_a_listing_of_before_is_no_answer_of_the_store(monkeypatch, slept):
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/reading/back.bin", b"abc")
    real, listed = type(fs).cat_file, [True]
    monkeypatch.setattr(type(fs), "invalidate_cache", lambda self, path=None: listed.clear())

    def cat_file(self, path, *arguments, **options):
        if listed:
            raise FileNotFoundError(path)
        return real(self, path, *arguments, **options)

    monkeypatch.setattr(type(fs), "cat_file", cat_file)
    assert read_uri("memory://reading/back.bin") == b"abc"
    assert not slept


def test_only_named_faults_are_tried_again(slept):
    with pytest.raises(ValueError, match="a bug"):
        retried("x", lambda: int("a bug"), (MemoryError,))
    assert not slept


def test_a_configuration_and_weights_that_cannot_be_read_are_named(files, broken_disk):
    broken_disk(files / "config.yaml", FAULTS["forbidden"])
    from ray_al.core.config import load_config

    with pytest.raises(ConfigError, match="config.yaml: could not be read.*Forbidden"):
        load_config(str(files / "config.yaml"), ())
    broken_disk(files / "image.png", FAULTS["disk"])
    model = parse_config(
        {"model": {"name": f"{__name__}:tiny", "weights": str(files / "image.png")}}, source="test"
    ).model
    with pytest.raises(ReadError, match=r"image.png: could not be read"):
        build_model(model, 3)


def test_errors_survive_pickling():
    for error in (
        ReadError("a: could not be read"),
        BrokenImagesError({"a.png": "cut off", "b.png": "missing"}),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert str(again) == str(error)
    assert again.images == {"a.png": "cut off", "b.png": "missing"}
    assert "a.png: cut off; b.png: missing" in str(again)


@pytest.fixture
def dataset(tmp_path):
    write_synthetic(str(tmp_path / "data"), num_images=4, seed=0)
    return open_dataset(DataConfig(dataset="synthetic", root=str(tmp_path / "data")))


@pytest.mark.parametrize("kind", ["uri", "mask_uri"])
def test_a_check_of_a_data_set_ends_where_a_file_cannot_be_read(dataset, broken_disk, kind):
    broken_disk(getattr(dataset.splits["train"][1], kind), FAULTS["disk"])
    with pytest.raises(ReadError, match="00001.png: could not be read"):
        check_dataset(dataset)


def test_a_manifest_is_not_made_where_a_file_cannot_be_read(dataset, broken_disk):
    broken_disk(dataset.splits["train"][1].uri, FAULTS["forbidden"])
    with pytest.raises(ReadError, match="00001.png: could not be read.*Forbidden"):
        build_manifest(dataset.splits["train"], lambda height, width: 1)


def test_a_check_says_which_images_the_grid_does_not_fit_on(dataset):
    for number in (1, 2):
        for image in (
            dataset.splits["train"][number].uri,
            dataset.splits["train"][number].mask_uri,
        ):
            Image.new("L", (30, 8 * number)).save(image)
    regions = parse_config({"regions": {"rows": 12, "columns": 4}}, source="test").regions
    report = check_dataset(dataset, too_small=regions.too_small)
    said = (
        "train/00001.png: the image of 8x30 pixels is smaller than the grid of 12x4 cells; "
        "lower regions.rows and regions.columns, or take the image out of the split"
    )
    assert said in json.dumps(report)
    assert [
        one["name"] for one in report["findings"] if "smaller than the grid" in one["message"]
    ] == ["too_small"]
    assert not report["ok"]


def test_labels_are_not_refused_where_a_mask_cannot_be_read(dataset, broken_disk):
    manifest, _ = build_manifest(dataset.splits["train"], lambda height, width: 4)
    regions = parse_config({"regions": {"rows": 2, "columns": 2}}, source="test").regions
    truth = ground_truth(manifest, lambda index: regions.of_image(96, 128), dataset.decoder)
    broken_disk(dataset.splits["train"][1].mask_uri, FAULTS["busy"])
    with pytest.raises(ReadError):
        truth(1, 0)
    with pytest.raises(ReadError):
        is_void(truth, 1, 0)


def test_an_image_of_another_size_than_the_manifest_says_is_broken(files):
    assert read_pool_image(str(files / "image.png"), (10, 20)).shape == (10, 20, 3)
    with pytest.raises(
        DataError,
        match=(
            "image.png: the image has 10x20 pixels, 20x10 when the run was made; put the "
            "earlier image back"
        ),
    ):
        read_pool_image(str(files / "image.png"), (20, 10))


def tiny(num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, num_classes, 3, padding=1, stride=2))


class Row:
    def __init__(self, uri: str) -> None:
        self.row = {"uri": uri, "image_id": uri, "height": 10, "width": 20}


def test_a_shard_ends_where_an_image_cannot_be_read_and_does_not_wait_for_the_others(
    files, broken_disk
):
    failed = broken_disk(files / "image.png", FAULTS["disk"])
    config = parse_config(
        {"data": {"image_size": [16, 24]}, "scoring": {"threads": 1}}, source="test"
    )
    reader = PixelReader(
        config, InputFormat(device="cpu", memory_format=torch.channels_last, dtype=torch.float32)
    )
    with pytest.raises(ReadError, match="could not be read"):
        list(
            map_batches(
                [Row(str(files / "image.png"))] * 200, reader, 2, 1, lambda members, inputs: members
            )
        )
    assert len(failed) < 10 * (len(reading.READ_WAITS_S) + 1)
