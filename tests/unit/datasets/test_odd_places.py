"""Things on a disk that are no usable files: pipes, devices, circles of links, odd names."""

import io
import os
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError, DataError
from ray_al.core.reading import read_uri, size_of_uri, stamp_of_uri
from ray_al.datasets import open_dataset
from ray_al.datasets.check import check_dataset
from ray_al.datasets.images import decode_image, read_image, read_image_size
from ray_al.datasets.masks import MaskDecoder, read_mask
from ray_al.datasets.pictures import check_pixels
from ray_al.predict.inputs import find_images

DISC = np.uint8(np.add.outer(np.arange(24) ** 2, np.arange(32) ** 2) < 300)


def make(root):
    for split in ("train", "val"):
        for number in range(3):
            path = root / "images" / split / f"{split}{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((24, 32, 3), 30 * number + len(split), np.uint8)).save(path)
            mask = root / "masks" / split / path.name
            mask.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(DISC).save(mask)
    return root


def opened(root, **data):
    values = {"dataset": "folder", "root": str(root), "class_names": ["ground", "disc"], **data}
    return open_dataset(parse_config({"data": values}, source="test").data)


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_pipes_and_devices_are_refused_before_they_are_read(folder, tmp_path):
    root = make(tmp_path)
    odd = root / folder / "train" / "odd.png"
    os.mkfifo(odd)
    with pytest.raises(ConfigError, match=r"odd\.png is a pipe, a socket or a device"):
        opened(root)
    with pytest.raises(ConfigError, match="give a file"):
        find_images([str(odd)])
    odd.unlink()
    odd.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match=r"odd\.png is a pipe, a socket or a device"):
        opened(root)
    with pytest.raises(ConfigError, match=r"IMAGES: .*odd\.png is a pipe"):
        find_images([str(odd.parent)])
    odd.rename(odd.with_name(".hidden.png"))
    assert len(opened(root).splits["train"]) == 3


def test_links_in_a_circle_are_missing_files_and_not_tried_again(tmp_path):
    one, other = tmp_path / "one.png", tmp_path / "other.png"
    one.symlink_to(other)
    other.symlink_to(one)
    begun = time.monotonic()
    for read in (
        read_image,
        read_image_size,
        lambda path: read_mask(path, MaskDecoder(num_classes=2)),
    ):
        with pytest.raises(DataError, match="the file is missing"):
            read(str(one))
    with pytest.raises(FileNotFoundError):
        read_uri(str(one))
    assert (size_of_uri(str(one)), stamp_of_uri(str(one))) == (-1, "")
    assert time.monotonic() - begun < 0.4


def test_a_name_that_is_no_text_is_refused_with_its_bytes(tmp_path):
    root = make(tmp_path)
    for folder in ("images", "masks"):
        path = root / folder / "train" / "train0.png"
        os.rename(path, os.fsencode(path.parent) + b"/stra\xdfe.png")
    with pytest.raises(ConfigError, match=r"stra\\xdfe\.png' is not in UTF-8; rename the file"):
        opened(root)


def test_any_other_name_is_one(tmp_path):
    root = make(tmp_path)
    names = ["new\nline", "😀", "tab\tx", "q\"'", "#x", "%41", "q?x", "[b]", "{b}", "a*", "b\\c"]
    for name in names:
        for folder in ("images", "masks"):
            picture = (root / folder / "train" / "train0.png").read_bytes()
            (root / folder / "train" / f"{name}.png").write_bytes(picture)
    dataset = opened(root)
    assert {image.image_id[13:-4] for image in dataset.splits["train"]} >= set(names)
    assert check_dataset(dataset)["ok"]


def test_a_split_that_is_missing_can_be_drawn(tmp_path):
    root = make(tmp_path)
    with pytest.raises(ConfigError, match="no images of split 'none2'.* data.val_split='10 %'"):
        opened(root, val_split="none2")
    assert len(opened(root, val_split="50 %").splits["val"]) in (1, 2)


def test_a_jpeg_whose_end_was_not_copied_is_refused():
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(stream, "JPEG")
    data = stream.getvalue()
    assert decode_image(data + b"\0" * 100, "x").shape == (48, 64, 3)  # padded, but whole
    half = len(data) // 2
    for lost in (half, 20):
        with pytest.raises(DataError, match=f"its last {lost} bytes are zeros"):
            decode_image(data[:-lost] + b"\0" * lost, "x")
    with pytest.raises(DataError, match="truncated"):
        decode_image(data[:half], "x")


def test_damaged_tags_do_not_ask_for_the_memory_of_the_machine():
    words = "20000x10 pixels of 4000 channels in 999 bytes, which is too large for such a file"
    with pytest.raises(DataError, match=words):
        check_pixels(20_000, 10, 999, "x", 4_000)
    check_pixels(20_000, 10, 999, "x", 300)


def test_a_mask_of_several_pages_is_refused_with_their_number(tmp_path):
    path = tmp_path / "mask.tif"
    pages = [Image.fromarray(DISC) for _ in range(3)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match=r"several pages or frames \(3\)"):
        read_mask(str(path), MaskDecoder(num_classes=2))


def test_broken_files_of_the_same_content_are_no_duplicates(tmp_path):
    root = make(tmp_path)
    for number in range(2):
        (root / "images" / "train" / f"train{number}.png").write_bytes(b"<html>404</html>")
    report = check_dataset(opened(root))
    assert not report["ok"] and not report["duplicates"]


def test_the_table_for_two_hidden_classes_names_its_condition(tmp_path):
    root = make(tmp_path)
    for path in root.glob("masks/*/*.png"):
        ids = np.where(DISC, 128, 0).astype(np.uint8)
        ids[-4:] = 200
        Image.fromarray(ids).save(path)
    names = ["ground", "disc", "bar"]
    (finding,) = check_dataset(opened(root, class_names=names, ignore_ids=[128, 200]))["findings"]
    words = (
        "disc, bar never occur, while 128, 200 fill",
        "If 128, 200 are disc, bar, in this order, write",
        "if they do mean 'no label'",
    )
    assert all(part in finding["message"] for part in words)


def test_pictures_in_hidden_folders_are_not_there(tmp_path):
    """Some disks and tools keep thumbnails and copies there, under the same names."""
    root = make(tmp_path)
    for name in (".@__thumb", ".ipynb_checkpoints"):
        for kind in ("images", "masks"):
            shutil.copytree(root / kind / "train", root / kind / "train" / name)
    assert len(opened(root).splits["train"]) == 3
    assert [one.wish for one in find_images([str(root / "images" / "train")])] == [
        f"train{number}" for number in range(3)
    ]


def test_ids_that_own_names_name_are_classes_whatever_the_layout_ignores(tmp_path):
    for split in ("train", "val"):
        for kind in (split, f"{split}annot"):
            (tmp_path / kind).mkdir()
        Image.fromarray(np.full((24, 32, 3), len(split), np.uint8)).save(tmp_path / split / "a.png")
        ids = np.arange(24 * 32).reshape(24, 32) % 14
        Image.fromarray(ids.astype(np.uint8)).save(tmp_path / f"{split}annot" / "a.png")
    names = [f"c{number}" for number in range(14)]
    dataset = opened(tmp_path, dataset="camvid", class_names=names)
    assert list(dataset.class_names) == names
    assert read_mask(str(tmp_path / "valannot" / "a.png"), dataset.decoder).max() == 13
    fewer = opened(tmp_path, dataset="camvid", class_names=names, ignore_ids=[11])
    assert "c11" not in fewer.class_names
