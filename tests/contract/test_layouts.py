"""Every layout passes one suite, on a disk and on an object store."""

import json
from typing import Any, ClassVar

import fsspec
import numpy as np
import pytest
from helpers.own_variants import example_of, own
from PIL import Image

from ray_al.core.config import DataConfig, parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.families.layouts import LAYOUTS as FAMILY
from ray_al.core.families.layouts import Layout, Split
from ray_al.core.seeding import generator
from ray_al.datasets import check_start, open_dataset
from ray_al.datasets.check import check_dataset
from ray_al.datasets.images import read_image
from ray_al.datasets.listing import Files, match
from ray_al.datasets.manifest import build_manifest
from ray_al.datasets.masks import read_mask
from ray_al.datasets.synthetic import write_synthetic

SIZE = (12, 16)


def image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(generator(*path.parts[-3:]).integers(0, 255, (*SIZE, 3), np.uint8)).save(path)


def mask(path, ids, palette=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.resize(np.array(ids, np.uint8), SIZE)
    picture = Image.fromarray(values)
    if palette:
        picture = picture.convert("P")
        picture.putdata(values.ravel().tolist())
        picture.putpalette([7, 8, 9] * 256)
    picture.save(path)


def camvid(root):
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        for i in range(count):
            image(root / split / f"a{i}.png")
            mask(root / f"{split}annot" / f"a{i}.png", [0, 10, 11])


def cityscapes_label_ids(root, kind="labelIds", ids=(7, 33, 0, 1)):
    for split, city in (("train", "aachen"), ("val", "bonn")):
        for i in range(2):
            image(root / "leftImg8bit" / split / city / f"{city}_{i}_leftImg8bit.png")
            mask(root / "gtFine" / split / city / f"{city}_{i}_gtFine_{kind}.png", ids)


def cityscapes_train_ids(root):
    cityscapes_label_ids(root, "labelTrainIds", (0, 18, 255))


def voc(root):
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split, names in (("train", ["x1", "x2"]), ("val", ["x3"])):
        (lists / f"{split}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            image(root / "JPEGImages" / f"{name}.jpg")
            mask(root / "SegmentationClass" / f"{name}.png", [0, 20, 255], palette=True)


def folder(root):
    for split in ("train", "val"):
        for sub in ("day", "night"):
            image(root / "images" / split / sub / "p.jpg")
            mask(root / "masks" / split / sub / "p.bmp", [0, 1, 255])


def folder_lists(root):
    for i in range(4):
        image(root / "images" / f"s{i}.png")
        mask(root / "masks" / f"s{i}.tif", [0, 1])
    (root / "train.txt").write_text("s0\ns2.png\n")
    (root / "val.txt").write_text("s1\ns3\n")


def folder_without_masks(root):
    for split in ("train", "val"):
        image(root / "images" / split / "p.png")
    mask(root / "masks" / "val" / "p.png", [0, 1])


def synthetic(root):
    root.rmdir()
    write_synthetic(str(root), num_images=3, seed=0)


def coco(root):
    (root / "annotations").mkdir()
    for split in ("train", "val"):
        image(root / "images" / split / "p.png")
        values = {
            "images": [{"id": 4, "file_name": "p.png", "height": SIZE[0], "width": SIZE[1]}],
            "categories": [{"id": 1, "name": "disc"}],
            "annotations": [
                {
                    "id": 1,
                    "image_id": 4,
                    "category_id": 1,
                    "segmentation": [[1, 1, 9, 1, 9, 8]],
                    "iscrowd": 0,
                }
            ],
        }
        path = root / "annotations" / f"instances_{split}.json"
        path.write_text(json.dumps(values))


def labelme(root):
    for split in ("train", "val"):
        image(root / "images" / split / "p.png")
        shape = {"label": "disc", "points": [[1, 1], [9, 1], [9, 8]], "shape_type": "polygon"}
        values = {"shapes": [shape], "imageHeight": SIZE[0], "imageWidth": SIZE[1]}
        (root / "images" / split / "p.json").write_text(json.dumps(values))


class PairsLayout(Layout):
    """A user's own: `<split>/<name><suffix>` beside `<split>/<name>.png`."""

    suffix: str = ".jpg"
    class_names: ClassVar[tuple[str, ...]] = ("a", "b")

    def list_split(self, root: str, split: str) -> Split:
        images = Files(root, split, frozenset({self.suffix}))
        return match(images, Files(root, split, frozenset({".png"})))


def pairs(root):
    for split in ("train", "val"):
        (root / split).mkdir()
        picture = generator("pairs", split).integers(0, 255, (*SIZE, 3), np.uint8)
        Image.fromarray(picture).save(root / split / "x.jpeg", format="JPEG")
        mask(root / split / "x.png", [0, 1])


OWN = f"{__name__}:PairsLayout"
NAMES: dict[str, Any] = {"class_names": ("a", "b")}
LAYOUTS: dict[str, Any] = {
    "camvid": (camvid, {"dataset": "camvid"}),
    "cityscapes labelIds": (cityscapes_label_ids, {"dataset": "cityscapes"}),
    "cityscapes labelTrainIds": (cityscapes_train_ids, {"dataset": "cityscapes"}),
    "voc": (voc, {"dataset": "voc"}),
    "coco": (coco, {"dataset": "coco"}),
    "labelme": (labelme, {"dataset": "labelme", "class_names": ("background", "disc")}),
    "folder": (folder, {"dataset": "folder", **NAMES}),
    "folder with lists": (folder_lists, {"dataset": "folder", **NAMES}),
    "folder without pool masks": (folder_without_masks, {"dataset": "folder", **NAMES}),
    "synthetic": (synthetic, {"dataset": "synthetic"}),
    "own": (pairs, {"dataset": {"kind": OWN, "suffix": ".jpeg"}}),
}


def test_the_suite_covers_every_layout():
    assert set(FAMILY.kinds) == {
        settings["dataset"]
        for _, settings in LAYOUTS.values()
        if isinstance(settings["dataset"], str)
    }


def test_settings_of_another_layout_are_refused():
    with pytest.raises(ConfigError, match=r"unknown key 'data\.dataset\.suffix'"):
        parse_config(
            {"data": {"dataset": {"kind": "camvid", "suffix": ".jpeg"}, "root": "x"}}, source="t"
        )
    with pytest.raises(ConfigError, match=r"data\.dataset.*did you mean 'cityscapes'"):
        parse_config({"data": {"dataset": "cityscape", "root": "x"}}, source="t")
    with pytest.raises(ConfigError, match=r"data\.root is missing; dataset 'voc' needs"):
        parse_config({"data": {"dataset": "voc"}}, source="t")


@pytest.fixture(params=[*LAYOUTS, *own("data.dataset")])
def layout(request, tmp_path):
    if request.param in LAYOUTS:
        build, settings = LAYOUTS[request.param]
    else:
        build, settings = example_of(request.param, "write_example"), {"dataset": request.param}
    root = tmp_path / "data"
    root.mkdir()
    build(root)
    return root, settings


def open_at(root, settings):
    return open_dataset(DataConfig(root=str(root), **settings))


def test_contract(layout):
    root, settings = layout
    dataset = open_at(root, settings)
    assert len(dataset.colors) == dataset.num_classes == len(dataset.class_names)
    assert dataset.splits.keys() >= {"train", "val"}
    for images in dataset.splits.values():
        ids = [one.image_id for one in images]
        assert ids == sorted(set(ids))
        for one in images:
            assert one.uri == str(root / one.image_id)
            pixels = read_image(one.uri)
            if one.mask_uri is not None:
                values = read_mask(one.mask_uri, dataset.decoder)
                assert values.shape == pixels.shape[:2]
                assert set(np.unique(values)) <= {*range(dataset.num_classes), 255}
    check_start(dataset)
    manifest, errors = build_manifest(dataset.splits["train"], lambda height, width: 4)
    assert errors == []
    assert manifest["image_id"].to_pylist() == [one.image_id for one in dataset.splits["train"]]
    assert set(manifest["num_regions"].to_pylist()) == {4}
    assert manifest["height"][0].as_py() == read_image(dataset.splits["train"][0].uri).shape[0]
    report = check_dataset(dataset)
    assert report["ok"], report


def test_the_same_from_an_object_store(layout):
    root, settings = layout
    if settings["dataset"] == "synthetic":
        pytest.skip("synthetic scenes are written to a disk")
    memory = fsspec.filesystem("memory")
    memory.put(str(root), "/bucket", recursive=True)
    try:
        there, here = open_at("memory://bucket", settings), open_at(root, settings)
        for split, images in here.splits.items():
            assert [one.image_id for one in images] == [one.image_id for one in there.splits[split]]
            assert (read_image(there.splits[split][0].uri) == read_image(images[0].uri)).all()
            if images[0].mask_uri:
                assert (
                    read_mask(there.splits[split][0].mask_uri, there.decoder)
                    == read_mask(images[0].mask_uri, here.decoder)
                ).all()
        check_start(there)
    finally:
        memory.rm("/bucket", recursive=True)


def test_an_empty_split_is_named(layout):
    root, settings = layout
    with pytest.raises(ConfigError, match=r"no images of split 'nosuch'.*data\.val_split"):
        open_at(root, {**settings, "val_split": "nosuch"})


def test_label_ids_become_training_ids(tmp_path):
    cityscapes_label_ids(tmp_path)
    dataset = open_at(tmp_path, {"dataset": "cityscapes"})
    values = read_mask(dataset.splits["val"][0].mask_uri, dataset.decoder)
    assert np.unique(values).tolist() == [0, 18, 255]
    assert dataset.class_names[18] == "bicycle"


def test_a_pool_without_masks_has_none(tmp_path):
    folder_without_masks(tmp_path)
    assert [
        one.mask_uri for one in open_at(tmp_path, {"dataset": "folder", **NAMES}).splits["train"]
    ] == [None]


def test_what_is_wrong_is_found(tmp_path):
    camvid(tmp_path)
    settings = {"dataset": "camvid"}
    mask(tmp_path / "trainannot" / "a0.png", [0, 77])
    (tmp_path / "train" / "a1.png").write_bytes(b"broken")
    (tmp_path / "trainannot" / "a2.png").unlink()
    (tmp_path / "val" / "a1.png").write_bytes((tmp_path / "val" / "a0.png").read_bytes())
    report = check_dataset(open_at(tmp_path, settings))
    train = report["splits"]["train"]
    assert not report["ok"]
    assert "a0.png: id 77 on 96 pixels" in train["mask_errors"][0]
    assert "a1.png" in train["unreadable"][0]
    assert train["missing_masks"] == ["train/a2.png"]
    assert report["duplicates"] == [["val/a0.png", "val/a1.png"]]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda root: (root / "valannot" / "a0.png").unlink(), "no mask"),
        (
            lambda root: Image.new("L", (3, 3)).save(root / "valannot" / "a0.png"),
            "3x3 pixels, its image 12x16",
        ),
        (lambda root: (root / "valannot" / "a0.png").write_bytes(b"x"), "cannot be read"),
    ],
)
def test_validation_masks_are_checked_before_a_run(tmp_path, spoil, words):
    camvid(tmp_path)
    spoil(tmp_path)
    with pytest.raises(ConfigError, match=words):
        check_start(open_at(tmp_path, {"dataset": "camvid"}))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"dataset": "folder"}, "data.class_names is missing"),
        ({"dataset": "folder", "class_names": ("a", "a")}, "'a' is given twice"),
        ({"dataset": "folder", **NAMES, "colors": ((0, 0, 0),)}, "1 colours for 2 classes"),
    ],
)
def test_class_tables_that_cannot_be(tmp_path, settings, words):
    folder(tmp_path)
    with pytest.raises(ConfigError, match=words):
        open_at(tmp_path, settings)
