"""Settings of channels, ranges and normalisation: checked, counted and measured."""

import numpy as np
import pytest
import torch
from PIL import Image

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.storage import Storage
from ray_al.datasets import open_dataset
from ray_al.datasets.cache import ByteCache
from ray_al.datasets.check import check_dataset, check_start
from ray_al.datasets.manifest import build_manifest
from ray_al.datasets.statistics import with_channels, with_statistics
from ray_al.driver.fork import _data_like
from ray_al.features.embed import Embedder
from ray_al.features.geometry import ViewDraw
from ray_al.models.prepare import images_to_tensor
from ray_al.train.samples import LabelledImages


def config_of(root=None, **data):
    values = {"dataset": "folder", "root": str(root), "class_names": ["a", "b"], **data}
    return parse_config({"name": "x", "data": values}, source="test")


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        (tmp_path / "images" / split).mkdir(parents=True)
        (tmp_path / "masks" / split).mkdir(parents=True)
        for number in range(count):
            values = rng.integers(29_000, 31_000, (8, 10, 4)).astype(np.uint16)
            np.save(tmp_path / "images" / split / f"{number}.npy", values)
            mask = rng.integers(0, 2, (8, 10)).astype(np.uint8)
            Image.fromarray(mask).save(tmp_path / "masks" / split / f"{number}.png")
    return tmp_path


def test_a_fork_takes_what_its_source_counted_and_measured(folder):
    data = {"channels": "all", "value_range": [29_000, 31_000]}
    statistics = {"mean": [0.5] * 4, "std": [0.2] * 4}
    theirs = config_of(folder, **{**data, "channels": 4, "normalize": statistics})
    found = _data_like(theirs, config_of(folder, **data, normalize="measured"))
    assert (found.channels, found.normalize) == (4, theirs.data.normalize)
    own = _data_like(theirs, config_of(folder, **{**data, "channels": [0]}, normalize="none"))
    assert (own.channels, own.normalize) == ((0,), "none")


@pytest.mark.parametrize("partial", [False, True])
def test_labels_of_pixels_without_data_are_ignored(folder, partial):
    for path in (folder / "images/train").iterdir():
        values = np.load(path)
        values[:2] = 0
        np.save(path, values)
    config = config_of(folder, channels=4, normalize="none", value_range=[29_000, 31_000], nodata=0)
    dataset = open_dataset(config.data)
    manifest, errors = build_manifest(
        dataset.splits["train"], lambda height, width: 1, dataset.pixels
    )
    assert not errors
    samples = LabelledImages(
        Storage(str(folder / "run")),
        manifest,
        dataset,
        (8, 10),
        ByteCache(1 << 20),
        partial=partial,
    )
    samples.update([], all_masks=True)
    mask = samples.mask(0)
    labelled = mask[..., 0] != 0 if partial else mask != 255
    assert not labelled[:2].any()
    assert labelled[2:].all()
    assert sum(samples.class_pixels()) == 4 * 6 * 10
    assert (samples.image(0)[:2] == 0).all()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"channels": [0, 1, 2, 3]}, "normalize 'imagenet' knows three channels, .* sees 4"),
        ({"channels": [0, 0, 1]}, "names a channel twice"),
        ({"channels": []}, "channels"),
        ({"channels": [4, 5, 6], "display_channels": [0]}, "display_channels names channel 0"),
        ({"display_channels": [0, 1]}, "give one .* or three"),
        ({"value_range": [3, 3]}, "must be below"),
        ({"nodata": "none"}, "nodata"),
        ({"normalize": {"mean": [0.5], "std": [1, 1, 1]}}, "normalize.mean has 1 values"),
        ({"normalize": {"mean": [0, 0, 0], "std": [1, 0, 1]}}, "normalize"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(data, words):
    with pytest.raises(ConfigError, match=words):
        config_of("x", **data)


def test_all_channels_are_counted_and_measured(folder):
    data = {"channels": "all", "normalize": "measured", "value_range": [29_000, 31_000]}
    config = with_channels(config_of(folder, **data))
    assert config.data.channels == 4
    measured = with_statistics(config, open_dataset(config.data)).data.normalize
    assert np.allclose(measured.mean, 0.5, atol=0.05)
    assert np.allclose(measured.std, 12**-0.5, atol=0.03)
    images = np.stack([np.load(path) for path in sorted((folder / "images/train").iterdir())])
    scaled = ((images - 29_000.0) / 2000 * 255).astype(np.float32)
    tensor = images_to_tensor(scaled, measured)
    assert tensor.shape == (4, 4, 8, 10)
    assert torch.allclose(tensor.mean((0, 2, 3)), torch.zeros(4), atol=1e-3)
    assert torch.allclose(tensor.std((0, 2, 3)), torch.ones(4), atol=1e-2)


def test_a_count_that_does_not_fit_other_settings_is_refused(folder):
    with pytest.raises(ConfigError, match="normalize 'imagenet' knows three channels"):
        with_channels(config_of(folder, channels="all"))


def test_a_channel_that_never_varies_is_refused(folder):
    for path in (folder / "images/train").iterdir():
        values = np.load(path)
        values[..., 2] = 30_000
        np.save(path, values)
    config = config_of(folder, channels=4, normalize="measured", value_range=[29_000, 31_000])
    with pytest.raises(ConfigError, match="channel 2 of those that the network sees"):
        with_statistics(config, open_dataset(config.data))


def test_images_that_use_little_of_their_range_are_refused(folder):
    dataset = open_dataset(config_of(folder, channels=4, normalize="none").data)
    words = r"all values of the 2 that were read lie between 290\d\d and 30\d\d\d, 3.1% of"
    with pytest.raises(ConfigError, match=rf"{words}.*set data.value_range=\["):
        check_start(dataset)
    assert not check_dataset(dataset)["ok"]
    ranged = config_of(folder, channels=4, normalize="none", value_range=[29_000, 31_000])
    check_start(open_dataset(ranged.data))


def test_a_range_that_cuts_much_off_is_said(folder, caplog):
    ranged = config_of(folder, channels=4, normalize="none", value_range=[29_500, 31_000])
    dataset = open_dataset(ranged.data)
    (finding,) = check_dataset(dataset)["findings"]
    assert finding["name"] == "clipped_values" and finding["severity"] == "warning"
    assert "more than 5% of their values outside data.value_range" in finding["message"]
    check_start(dataset)
    assert "2 of 2 images have more than 5%" in caplog.text


def test_an_image_with_other_channels_is_refused(folder):
    np.save(folder / "images/val/0.npy", np.zeros((8, 10, 3), np.uint16))
    config = config_of(folder, channels=4, normalize="none", value_range=[29_000, 31_000])
    with pytest.raises(ConfigError, match="holds 3 channels, and not 4 as the other images"):
        check_start(open_dataset(config.data))


def test_views_and_frozen_backbones_take_any_channels():
    values = np.random.default_rng(0).uniform(0, 255, (32, 48, 5)).astype(np.float32)
    draw = ViewDraw(size=(32, 48), scale=1.5, top=3, mirror=True, contrast=0.8, shift=(9, 9, 9))
    seen = draw.apply(values)
    assert (seen.shape, seen.dtype) == (values.shape, np.float32)
    as_bytes = draw.apply(values.astype(np.uint8)[..., :3])
    assert np.abs(seen[..., :3] - as_bytes).max() < 3
    settings = {
        "name": "x",
        "data": {"image_size": [32, 48], "channels": 5, "normalize": "none"},
        "model": {"frozen": True},
        "features": {"batch_size": 2},
    }
    embedder = Embedder(parse_config(settings, source="test"))
    assert embedder.records([values, seen]).shape == (2, embedder.layout.num_values)
