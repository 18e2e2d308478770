"""`jobs/make_pools.py`: the pool in which images repeat, and the split for tuning."""

import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.paths import ROOT
from PIL import Image

from ray_al.core.config import parse_config
from ray_al.datasets import open_dataset
from ray_al.datasets.images import read_image
from ray_al.datasets.masks import read_mask

PATH = ROOT / "jobs" / "make_pools.py"
SPEC = importlib.util.spec_from_file_location("make_pools", PATH)
pools = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(pools)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes") / "data"
    values = {"data": {"dataset": "synthetic", "num_images": 20, "root": str(root)}}
    open_dataset(parse_config(values, source="test").data)
    return root


def made(capsys, source, out, command, *options):
    """The data set that a command writes, opened as the command says."""
    settings = [
        "--set",
        "data.dataset=synthetic",
        "--set",
        "data.num_images=20",
        "--set",
        f"data.root={source}",
    ]
    pools.main([command, *settings, "--out", str(out), *options])
    printed = capsys.readouterr().out
    assert printed.startswith("data: ")
    return open_dataset(
        parse_config({"data": json.loads(printed.removeprefix("data: "))}, source="test").data
    )


def digest(root):
    files = sorted(path for path in root.rglob("*") if path.is_file())
    named = [path.relative_to(root).as_posix().encode() + path.read_bytes() for path in files]
    return hashlib.sha256(b"".join(named)).hexdigest()


def test_all_but_a_tenth_stand_there_four_times(capsys, source, tmp_path):
    dataset = made(capsys, source, tmp_path / "pool", "redundant")
    names = [Path(image.image_id).stem for image in dataset.splits["train"]]
    copies = [
        sum(name == stem or name.startswith(f"{stem}-copy") for name in names)
        for stem in names
        if "-copy" not in stem
    ]
    assert sorted(copies) == [1] * 2 + [4] * 18
    original = open_dataset(
        parse_config(
            {"data": {"dataset": "synthetic", "num_images": 20, "root": str(source)}}, source="t"
        ).data
    )
    for ours, theirs in zip(dataset.splits["val"], original.splits["val"], strict=True):
        assert np.array_equal(
            read_mask(ours.mask_uri, dataset.decoder), read_mask(theirs.mask_uri, original.decoder)
        )
        assert np.array_equal(read_image(ours.uri), read_image(theirs.uri))
    assert dataset.class_names == original.class_names


def test_the_same_seed_gives_the_same_files_and_another_does_not(capsys, source, tmp_path):
    roots = [tmp_path / name for name in ("one", "same", "other")]
    for root, seed in zip(roots, (3, 3, 4), strict=True):
        made(
            capsys, source, root, "redundant", "--images", "5", "--copies", "2", "--seed", str(seed)
        )
    one, same, other = map(digest, roots)
    assert one == same != other


def test_a_crop_takes_its_mask_with_it():
    """Of an image that shows its own mask, the crop shows the crop's mask."""
    mask = np.repeat(np.repeat(np.arange(12, dtype=np.uint8).reshape(3, 4), 16, 0), 16, 1)
    image = np.repeat(mask[:, :, None] * 20, 3, 2)
    sizes = set()
    for seed in range(10):
        changed, its_mask = pools.change(
            image, mask, np.random.default_rng(seed), crop=0.6, light=0
        )
        assert changed.shape == image.shape and its_mask.shape == mask.shape
        assert (
            np.abs(changed[:, :, 0] / 20 - its_mask) < 0.6
        ).mean() > 0.9  # but for edges, which are smoothed
        sizes.add(np.bincount(its_mask.ravel(), minlength=12).tobytes())
    assert len(sizes) == 10
    kept, its_mask = pools.change(image, mask, np.random.default_rng(0), crop=1, light=0)
    assert np.array_equal(kept, image) and np.array_equal(its_mask, mask)


def test_every_fourth_image_is_held_out(capsys, source, tmp_path):
    dataset = made(capsys, source, tmp_path / "tune", "hold-out")
    original = open_dataset(
        parse_config(
            {"data": {"dataset": "synthetic", "num_images": 20, "root": str(source)}}, source="t"
        ).data
    )
    stems = [Path(image.image_id).stem for image in original.splits["train"]]
    found = {
        split: [Path(image.image_id).stem for image in images]
        for split, images in dataset.splits.items()
    }
    assert found == {
        "val": stems[3::4],
        "train": [stem for stem in stems if stem not in stems[3::4]],
    }
    for ours in dataset.splits["val"]:
        theirs = next(
            image
            for image in original.splits["train"]
            if Path(image.image_id).stem == Path(ours.image_id).stem
        )
        assert Path(ours.uri).resolve() == Path(theirs.uri).resolve()
        assert np.array_equal(
            read_mask(ours.mask_uri, dataset.decoder), read_mask(theirs.mask_uri, original.decoder)
        )


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["redundant", "--copies", "1"], ["--copies 1"]),
        (["redundant", "--crop", "0"], ["--crop 0.0"]),
        (["redundant", "--images", "21"], ["--images 21", "has 20"]),
        (["hold-out", "--every", "1"], ["--every 1"]),
        (["hold-out", "--every", "21"], ["--every 21", "has 20"]),
    ],
)
def test_what_makes_no_pool_is_refused(capsys, source, tmp_path, options, parts):
    with pytest.raises(SystemExit, match="2"):
        made(capsys, source, tmp_path / "out", *options)
    error = capsys.readouterr().err
    assert all(part in error for part in parts)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_left_alone(capsys, source, tmp_path):
    with pytest.raises(SystemExit, match="2"):
        made(capsys, source, tmp_path, "hold-out")
    assert "exists; give a folder that does not" in capsys.readouterr().err


def test_images_of_one_name_are_refused(capsys, tmp_path):
    for folder in ("a_b", "a"):
        for part in ("images", "masks"):
            name = "c" if folder == "a_b" else "b_c"
            path = tmp_path / "data" / part / "train" / folder / f"{name}.png"
            path.parent.mkdir(parents=True)
            Image.fromarray(np.zeros((8, 8), np.uint8)).convert(
                "RGB" if part == "images" else "L"
            ).save(path)
            val = tmp_path / "data" / part / "val" / "x.png"
            val.parent.mkdir(exist_ok=True)
            val.write_bytes(path.read_bytes())
    settings = [
        "--set",
        "data.dataset=folder",
        "--set",
        "data.class_names=[one]",
        "--set",
        f"data.root={tmp_path / 'data'}",
    ]
    with pytest.raises(SystemExit, match="2"):
        pools.main(["redundant", *settings, "--out", str(tmp_path / "out")])
    assert "both be called 'a_b_c'" in capsys.readouterr().err
