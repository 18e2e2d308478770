"""Annotations in COCO's format become the masks that COCO's own tool gives."""

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from ray_al.core.config import DataConfig
from ray_al.core.errors import ConfigError, DataError
from ray_al.datasets import check_start, open_dataset
from ray_al.datasets.check import check_dataset
from ray_al.datasets.manifest import absolute_places, build_manifest, relative_places
from ray_al.datasets.masks import read_mask, read_mask_size

SIZE = (20, 30)
BOX = [2, 3, 12, 3, 12, 13, 2, 13]
INNER = [4, 5, 8, 5, 8, 9, 4, 9]
CATEGORIES = [{"id": 7, "name": "disc"}, {"id": 3, "name": "bar"}]


def one(number, image=1, category=7, outline=(BOX,), **more):
    outline = list(outline) if isinstance(outline, tuple) else outline
    values = {"id": number, "image_id": image, "category_id": category, "segmentation": outline}
    return {**values, "iscrowd": 0, "bbox": [0, 0, 1, 1], "area": 1, **more}


def export(annotations, names=("a.png", "b.png"), categories=CATEGORIES, **more):
    images = [
        {"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
        for number, name in enumerate(names, 1)
    ]
    return {"images": images, "annotations": annotations, "categories": categories, **more}


@pytest.fixture
def write(tmp_path):
    """Write images and the annotations of a pool and of validation; return the settings."""
    counter = iter(range(100))

    def written(train, val=None, **settings):
        pool = train if isinstance(train, dict) else export(train)
        for split, values in (("train", pool), ("val", val or export([one(1), one(2, 2)]))):
            (tmp_path / "images" / split).mkdir(parents=True, exist_ok=True)
            (tmp_path / "annotations").mkdir(exist_ok=True)
            for name in ("a.png", "b.png"):
                values_of = np.full((*SIZE, 3), next(counter), np.uint8)
                Image.fromarray(values_of).save(tmp_path / "images" / split / name)
            text = values if isinstance(values, str) else json.dumps(values)
            (tmp_path / "annotations" / f"instances_{split}.json").write_text(text)
        data = {key: settings.pop(key) for key in ("class_names", "allow") if key in settings}
        layout = {"kind": "coco", **settings}
        return DataConfig.model_validate({"dataset": layout, "root": str(tmp_path), **data})

    return written


def first_mask(data):
    dataset = open_dataset(data)
    return read_mask(dataset.splits["train"][0].mask_uri, dataset.decoder)


def drawn(*outlines):
    """Return what pycocotools draws, bool (H, W)."""
    return coco.decode(coco.merge(coco.frPyObjects(list(outlines), *SIZE))).astype(bool)


def test_classes_follow_from_the_categories_by_their_ids(write):
    dataset = open_dataset(write([one(1, category=3)]))
    assert dataset.class_names == ("background", "bar", "disc")
    assert set(np.unique(first_mask(write([one(1, category=3)])))) == {0, 1}
    dataset = open_dataset(write([one(1)], class_names=("disc", "bar", "background")))
    assert dataset.class_names == ("disc", "bar", "background")
    mask = read_mask(dataset.splits["train"][0].mask_uri, dataset.decoder)
    assert np.array_equal(mask == 0, drawn(BOX)) and set(np.unique(mask)) == {0, 2}


def test_ids_of_categories_may_differ_between_files(write):
    swapped = [{"id": 3, "name": "disc"}, {"id": 7, "name": "bar"}]
    data = write([one(1)], val=export([one(1), one(2, 2)], categories=swapped))
    dataset = open_dataset(data)
    pool, validation = (
        np.unique(read_mask(dataset.splits[split][0].mask_uri, dataset.decoder)).tolist()
        for split in ("train", "val")
    )
    assert (pool, validation) == ([0, 2], [0, 1])


def test_polygons_and_both_kinds_of_runs_are_the_same_mask(write):
    compressed = coco.encode(np.asfortranarray(drawn(BOX, [20, 1, 25, 1, 22, 9]).astype(np.uint8)))
    flat = drawn(BOX, [20, 1, 25, 1, 22, 9]).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    expected = np.where(drawn(BOX, [20, 1, 25, 1, 22, 9]), 2, 0)
    for outline in (
        (BOX, [20, 1, 25, 1, 22, 9]),
        {"size": list(SIZE), "counts": compressed["counts"].decode()},
        {"size": list(SIZE), "counts": counts},
    ):
        mask = first_mask(write([one(1, outline=outline)]))
        assert np.array_equal(mask, expected), outline


def test_crowds_have_no_label_and_single_objects_inside_them_do(write):
    annotations = [one(1, category=3, outline=(INNER,)), one(2, iscrowd=1)]
    mask = first_mask(write(annotations, crowds="ignore"))
    assert (mask[drawn(INNER)] == 1).all()
    assert (mask[drawn(BOX) & ~drawn(INNER)] == 255).all() and (mask[~drawn(BOX)] == 0).all()


def test_many_crowds_may_be_objects_and_must_be_named(write):
    annotations = [one(1, iscrowd=1), one(2, 2)]
    with pytest.raises(ConfigError, match=r"1 of 2 annotations are marked iscrowd.*crowds=objects"):
        check_start(open_dataset(write(annotations)))
    for crowds, number in (("ignore", 255), ("objects", 2)):
        data = write(annotations, crowds=crowds)
        check_start(open_dataset(data))
        assert (first_mask(data)[drawn(BOX)] == number).all()


@pytest.mark.parametrize("small_first", [True, False])
def test_the_smaller_object_is_on_top_or_the_later_one(write, small_first):
    annotations = [one(1, category=3, outline=(INNER,)), one(2)]
    annotations = annotations if small_first else annotations[::-1]
    assert (first_mask(write(annotations))[drawn(INNER)] == 1).all()
    later = 2 if small_first else 1
    mask = first_mask(write(annotations, overlaps="file_order"))
    assert (mask[drawn(INNER)] == later).all()


def test_categories_may_be_merged_and_ignored(write):
    annotations = [one(1), one(2, category=3, outline=(INNER,))]
    data = write(annotations, categories={"bar": "ignore", "disc": "thing"})
    assert open_dataset(data).class_names == ("background", "thing")
    mask = first_mask(data)
    assert (mask[drawn(INNER)] == 255).all() and (mask[drawn(BOX) & ~drawn(INNER)] == 1).all()


def test_pixels_without_annotation_may_have_no_label(write):
    data = write([one(1), one(2, 2, category=3)], background=None)
    assert open_dataset(data).class_names == ("bar", "disc")
    assert np.array_equal(first_mask(data), np.where(drawn(BOX), 1, 255))


def test_images_without_annotations_have_no_mask_or_are_background(write):
    dataset = open_dataset(write([one(1)]))
    assert [image.mask_uri is None for image in dataset.splits["train"]] == [False, True]
    assert any("empty=background" in finding.message for finding in dataset.findings)
    dataset = open_dataset(write([one(1)], empty="background"))
    mask = read_mask(dataset.splits["train"][1].mask_uri, dataset.decoder)
    assert mask.shape == SIZE and not mask.any()
    with pytest.raises(ValueError, match="empty=background needs a class"):
        write([one(1)], empty="background", background=None)


def test_unlisted_images_are_left_out_or_unlabelled(write):
    pool = export([one(1)], names=("a.png",))
    dataset = open_dataset(write(pool))
    assert [image.image_id for image in dataset.splits["train"]] == ["images/train/a.png"]
    assert any("does not list 1 images" in finding.message for finding in dataset.findings)
    dataset = open_dataset(write(pool, unlisted="unlabelled"))
    assert [image.mask_uri is None for image in dataset.splits["train"]] == [False, True]


@pytest.mark.parametrize(
    "name", ["images/train/a.png", "images\\train\\a.png", "../media/upload/1/a.png", "./a.png"]
)
def test_images_are_found_however_the_tool_names_them(write, name):
    dataset = open_dataset(write(export([one(1), one(2, 2)], names=(name, "b.png"))))
    assert dataset.splits["train"][0].image_id == "images/train/a.png"
    assert dataset.splits["train"][0].mask_uri.endswith("instances_train.json#1:a.png")


def test_listed_images_that_are_missing_are_named(write):
    data = write(export([one(1), one(2, 2), one(3, 3)], names=("a.png", "b.png", "gone.png")))
    with pytest.raises(ConfigError, match=r"1 of 3 images that it lists .*'gone\.png'"):
        check_start(open_dataset(data))
    allowed = data.model_copy(update={"allow": ("unmatched_names",)})
    check_start(open_dataset(allowed))


FLAT = {"size": list(SIZE), "counts": [10, 5]}


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (one(5, outline=[]), "annotation 5 cannot be drawn: it has no outline"),
        (one(5, outline=None), "no outline"),
        (one(5, outline=[[1, 2, 3, 4]]), "a polygon of 4 numbers"),
        (one(5, outline=[[1, 2, 3, 4, 5, 6, 7]]), "a polygon of 7 numbers"),
        (one(5, outline=[[1, 2, 3, 4, 5, "x"]]), "no number"),
        (one(5, outline=[[1, 2, 3, 4, 5, float("nan")]]), "not finite"),
        (one(5, outline=[[0.1, 0.2, 0.9, 0.2, 0.5, 0.8]]), "lie between 0 and 1"),
        (one(5, outline=[[1, 2, 9e8, 4, 5, 6]]), "far outside of 20x30"),
        (one(5, outline=[[31, 2, 40, 2, 35, 9]]), "it lies outside of the image's 20x30 pixels"),
        (one(5, outline=FLAT), "its runs cover 15 pixels, the image has 600"),
        (one(5, outline={**FLAT, "size": [30, 20]}), "runs are of 30x20 pixels"),
        (one(5, outline={"size": list(SIZE), "counts": "P0P2"}), "its runs cover"),
        (one(5, outline={"size": list(SIZE), "counts": [-1, 601]}), "no usable counts"),
        (one(5, category=99), "its category 99 is not listed"),
    ],
)
def test_annotations_that_cannot_be_drawn_refuse_their_image(write, annotation, words):
    data = write([annotation, one(6, 2)])
    dataset = open_dataset(data)
    with pytest.raises(DataError, match=words) as error:
        first_mask(data)
    assert "a.png" in str(error.value)
    assert read_mask(dataset.splits["train"][1].mask_uri, dataset.decoder).any()
    report = check_dataset(dataset)
    assert not report["ok"] and words in report["splits"]["train"]["mask_errors"][0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("", "is empty"),
        ("{", "is not JSON"),
        ("[]", "does not hold an object"),
        ({"images": [], "annotations": []}, "has no list called 'categories'"),
        (export([], categories=[{"id": 1}]), r"categories\[0\] has no id or no name"),
        (export([], categories=[CATEGORIES[0]] * 2), "repeats the id 7"),
        (export([{"image_id": 1}]), r"annotations\[0\] has no image_id or no category_id"),
        (export([], images=[{"id": 1}]), r"images\[0\] has no id or no file_name"),
        (export([], images=[{"id": 1, "file_name": "a.png"}]), "no size in pixels"),
        (
            export([], images=[{"id": 1, "file_name": "a", "height": 65535, "width": 65535}]),
            "no size in pixels",
        ),
    ],
)
def test_files_in_another_format_are_refused(write, values, words):
    data = write(values if isinstance(values, dict) else export([]))
    if isinstance(values, str):
        Path(str(data.root), "annotations", "instances_train.json").write_text(values)
    with pytest.raises(ConfigError, match=words):
        open_dataset(data)


def test_unknown_categories_and_backgrounds_are_refused(write):
    with pytest.raises(ConfigError, match=r"its category 'bar' is none of the classes.*ignore"):
        open_dataset(write([one(1)], class_names=("background", "disc")))
    with pytest.raises(ConfigError, match="no file has the category 'bars'; they have bar, disc"):
        open_dataset(write([one(1)], categories={"bars": "ignore"}))
    colored = write([one(1)]).model_copy(update={"mask_encoding": "colors"})
    with pytest.raises(ConfigError, match="have no colours; leave it out"):
        open_dataset(colored)
    with pytest.raises(ConfigError, match="background='background': no such class"):
        open_dataset(write([one(1)], class_names=("disc", "bar")))


def test_a_missing_package_names_its_extra(write, monkeypatch):
    data = write([one(1)])
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(ConfigError, match=r"needs the package pycocotools.*ray_al\[coco\]"):
        open_dataset(data)


def test_a_size_that_is_not_the_images_is_refused(write):
    pool = export([one(1), one(2, 2)])
    pool["images"][0]["height"] = 40
    dataset = open_dataset(write(pool))
    assert read_mask_size(dataset.splits["train"][0].mask_uri, dataset.decoder) == (40, 30)
    report = check_dataset(dataset)
    assert "40x30 pixels, its image 20x30" in report["splits"]["train"]["size_mismatches"][0]


def test_masks_of_an_export_with_other_ids_are_refused(write):
    before = open_dataset(write([one(1), one(2, 2)])).splits["train"]
    after = open_dataset(write(export([one(1), one(2, 2)], names=("b.png", "a.png"))))
    for image in before:
        with pytest.raises(DataError, match=r"does not list the image \d:[ab]\.png"):
            read_mask(image.mask_uri, after.decoder)


def test_a_manifest_names_masks_relative_to_the_data(write, tmp_path):
    dataset = open_dataset(write([one(1)]))
    manifest, _ = build_manifest(dataset.splits["train"], lambda height, width: 1)
    stored = relative_places(manifest, str(tmp_path))
    assert stored["mask_uri"].to_pylist() == ["annotations/instances_train.json#1:a.png", None]
    assert absolute_places(stored, str(tmp_path)) == manifest


def test_decoders_travel_to_workers_without_masks(write):
    dataset = open_dataset(write([one(number) for number in range(1, 400)]))
    travelled = pickle.loads(data := pickle.dumps(dataset.decoder))
    uri = dataset.splits["train"][0].mask_uri
    assert len(data) < 2000
    assert np.array_equal(read_mask(uri, travelled), read_mask(uri, dataset.decoder))


def test_a_file_that_changed_is_read_again(write):
    before = first_mask(write([one(1)]))
    after = first_mask(write([one(1, outline=(INNER,))]))
    assert before.sum() > after.sum() > 0
