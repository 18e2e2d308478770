"""`datasets check` and a run find the same faults in a data set, before any work begins."""

import os
import re
import unicodedata

import fsspec
import numpy as np
import pytest
from PIL import Image

from ray_al.core.config import parse_config
from ray_al.core.config.loading import parse_override
from ray_al.core.errors import ConfigError
from ray_al.datasets import check_start, open_dataset
from ray_al.datasets.check import check_dataset
from ray_al.datasets.layouts.cityscapes import CityscapesLayout
from ray_al.datasets.masks import read_mask
from ray_al.driver.checks import check_config, check_pool

NAMES = ("ground", "disc", "bar")


def put(path, seed=0, size=(12, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)).save(path)


def mask(path, ids=(0, 1, 2), size=(12, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.resize(np.array(ids, np.uint8), size)).save(path)


def make(root, *, train=4, val=2, ids=(0, 1, 2), val_ids=None):
    """images/ and masks/ of both splits, all pictures different."""
    for split, count, values in (("train", train, ids), ("val", val, val_ids or ids)):
        for number in range(count):
            put(root / "images" / split / f"{number}.png", seed=number + 100 * (split == "val"))
            mask(root / "masks" / split / f"{number}.png", values)
    return root


def make_listed(root, *, names=("a", "b", "c", "d")):
    for number, name in enumerate(names):
        put(root / "images" / f"{name}.png", seed=number)
        mask(root / "masks" / f"{name}.png")
    return root


def opened(root, **settings):
    data = {"root": str(root), "dataset": "folder", "class_names": NAMES, **settings}
    return open_dataset(parse_config({"data": data}, source="test").data)


def both(dataset):
    """Names of the errors that the check finds; a run must refuse just then."""
    report = check_dataset(dataset, reads_masks=True)
    errors = {
        one["name"]
        for one in report["findings"]
        if one["severity"] == "error" and not one["allowed"]
    }
    assert report["ok"] == (not errors)
    if errors:
        with pytest.raises(ConfigError):
            check_start(dataset, pool_masks=True)
    else:
        check_start(dataset, pool_masks=True)
    return errors


def test_a_good_data_set_has_no_finding(tmp_path):
    dataset = opened(make(tmp_path, ids=(0, 1, 2, 255)))
    assert both(dataset) == set()
    assert check_dataset(dataset)["findings"] == []


@pytest.mark.parametrize(
    ("ids", "settings"),
    [
        ((0, 255), {"class_names": ("background", "disc")}),
        ((0, 0, 255), {}),
        ((0, 255), {"class_names": ("disc",)}),
        ((255,), {}),
        ((0, 128, 200), {"ignore_ids": (128, 200)}),
        ((0, 64, 128), {"ignore_ids": (64, 128)}),
        ((0, 1, 255), {}),
        ((0, 1, 9), {"ignore_ids": (9,)}),
        (
            (0, 255),
            {"dataset": "folder", "class_names": ("background", "disc"), "ignore_ids": (255,)},
        ),
    ],
)
def test_a_class_that_hides_behind_no_label(ids, settings, tmp_path):
    root = make(tmp_path, ids=ids)
    assert both(opened(root, **settings)) == {"absent_class"}
    assert both(opened(root, **settings, allow=("absent_class",))) == set()


def test_the_remedy_for_masks_of_0_and_255_gives_the_right_classes(tmp_path):
    dataset = opened(
        make(tmp_path, ids=(0, 255)),
        class_names=("background", "disc"),
        mask_encoding="colors",
        colors=((0,) * 3, (255,) * 3),
    )
    assert both(dataset) == set()
    assert set(np.unique(read_mask(dataset.splits["val"][0].mask_uri, dataset.decoder))) == {0, 1}


def test_validation_masks_alone_of_0_and_255_are_found(tmp_path):
    assert both(
        opened(make(tmp_path, ids=(0, 1), val_ids=(0, 255)), class_names=("background", "disc"))
    ) == {"absent_class"}


@pytest.mark.parametrize(
    ("ids", "settings"),
    [
        ((1, 2, 3, 0), {"class_names": ("unlabelled", *NAMES), "ignore_ids": (0,)}),
        ((0, 1, 2, 3), {"class_names": (*NAMES, "void"), "ignore_ids": (3,)}),
    ],
)
def test_an_ignored_class_is_no_class(ids, settings, tmp_path):
    """Else the network has an output for it that is never right, and the mean IoU a class of 0."""
    dataset = opened(make(tmp_path, ids=ids), **settings)
    assert (dataset.class_names, dataset.num_classes, len(dataset.colors)) == (NAMES, 3, 3)
    assert set(np.unique(read_mask(dataset.splits["val"][0].mask_uri, dataset.decoder))) == {
        0,
        1,
        2,
        255,
    }
    assert both(dataset) == set()


def test_all_classes_ignored(tmp_path):
    with pytest.raises(ConfigError, match=r"data.ignore_ids \[0, 1, 2\]: names every class"):
        opened(make(tmp_path), ignore_ids=(0, 1, 2))


def test_ids_that_count_from_1_in_the_pool_alone(tmp_path):
    dataset = opened(make(tmp_path, ids=(1, 2), val_ids=(0, 1)))
    assert both(dataset) == {"shifted_ids"}
    assert both(opened(make(tmp_path, ids=(1, 2, 3), val_ids=(0, 1, 2)))) == {"unusable_masks"}


@pytest.mark.parametrize(
    "values",
    [
        {1: "ground", 2: "disc", 3: "bar"},
        {0: "ignore", 1: "ground", 2: "disc", 3: "bar"},
        {0: "ground", 1: "disc", 2: "bar", 3: "ignore"},
        {0: "ground", 1: "disc", 2: "bar", 3: "bar"},
    ],
)
def test_no_table_makes_ids_from_1_in_the_pool_alone_right(values, tmp_path):
    root = make(tmp_path, ids=(1, 2, 3), val_ids=(0, 1, 2))
    assert both(opened(root, mask_values=values)) & {"unusable_masks", "shifted_ids"}
    report = check_dataset(opened(root))
    message = next(one["message"] for one in report["findings"] if one["name"] == "unusable_masks")
    assert "masks of the other splits hold 0, 1, 2 and can be read" in message


def test_the_remedy_for_ids_from_1_where_the_pool_alone_counts_so(tmp_path):
    settings = {"class_names": ("unlabelled", *NAMES), "ignore_ids": (0,)}
    assert both(opened(make(tmp_path, ids=(1, 2, 3), val_ids=(0, 1, 2)), **settings)) == {
        "shifted_ids"
    }


def test_classes_of_the_pool_that_validation_lacks(tmp_path):
    root = make(tmp_path, ids=(0, 1, 2), val_ids=(0, 1))
    report = check_dataset(opened(root))
    assert [one["name"] for one in report["findings"]] == ["missing_class"]
    assert report["findings"][0]["message"].startswith("bar occurs in masks of the pool, but in no")
    assert both(opened(root)) == {"missing_class"}
    assert both(opened(root, allow=("missing_class",))) == set()


def test_pool_masks_that_nothing_reads_only_warn(tmp_path):
    report = check_dataset(opened(make(tmp_path, val_ids=(0, 1))), reads_masks=False)
    assert [(one["name"], one["severity"]) for one in report["findings"]] == [
        ("missing_class", "warning")
    ]
    assert report["ok"]


def test_classes_of_validation_alone_are_mentioned(tmp_path):
    report = check_dataset(opened(make(tmp_path, ids=(0, 1), val_ids=(0, 1, 2))))
    assert [one["name"] for one in report["findings"]] == ["classes_differ"]
    assert report["ok"]


@pytest.mark.parametrize("copy", ["same", "renamed"])
def test_a_pool_image_in_validation(copy, tmp_path):
    root = make(tmp_path)
    if copy == "renamed":
        (root / "images" / "val" / "0.png").write_bytes(
            (root / "images" / "train" / "2.png").read_bytes()
        )
    settings = {"val_split": "train"} if copy == "same" else {}
    assert both(opened(root, **settings)) == {"shared_images"}
    assert both(opened(root, **settings, allow=("shared_images",))) == set()


def test_one_list_for_pool_and_validation(tmp_path):
    """As in CVAT's export, whose only list is default.txt."""
    for number in range(3):
        put(tmp_path / "JPEGImages" / f"{number}.jpg", seed=number)
        mask(tmp_path / "SegmentationClass" / f"{number}.png")
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Segmentation" / "default.txt").write_text("0\n1\n2\n")
    assert both(
        opened(
            tmp_path, dataset="voc", train_split="default", val_split="default", class_names=NAMES
        )
    ) == {"shared_images"}


@pytest.mark.parametrize("names", [("x.png", "x.jpg"), ("x.png", "x.JPG")])
@pytest.mark.parametrize("layout", ["folder", "camvid"])
def test_two_images_of_one_name_are_named(names, layout, tmp_path):
    places = {"folder": ("images/{}", "masks/{}"), "camvid": ("{}", "{}annot")}[layout]
    for split in ("train", "val"):
        put(tmp_path / places[0].format(split) / f"{split}.png", seed=len(split))
        mask(tmp_path / places[1].format(split) / f"{split}.png")
    for number, name in enumerate(names):
        put(tmp_path / places[0].format("train") / name, seed=number)
    mask(tmp_path / places[1].format("train") / "x.png")
    dataset = opened(tmp_path, dataset=layout)
    assert both(dataset) == {"same_name"}
    assert all(name in dataset.findings[0].message for name in names)


def test_two_masks_of_one_name_are_named(tmp_path):
    root = make(tmp_path)
    np.save(root / "masks" / "val" / "0.npy", np.zeros((12, 16), np.uint8))
    assert both(opened(root)) == {"same_name"}


def write_list(root, lines, *, encoding="utf-8", end="\n"):
    (root / "train.txt").write_bytes((end.join(lines) + end).encode(encoding))
    (root / "val.txt").write_text("d\n")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "{}.png",
        "images/{}.png",
        "./images/{}.png",
        "images\\{}.png",
        "images/{0}.png masks/{0}.png",
        "{0}.png,{0}.png",
    ],
)
def test_lists_of_every_form(encoding, end, form, tmp_path):
    root = make_listed(tmp_path)
    write_list(root, [form.format(name) for name in "abc"], encoding=encoding, end=end)
    dataset = opened(root)
    assert [image.image_id for image in dataset.splits["train"]] == [
        "images/a.png",
        "images/b.png",
        "images/c.png",
    ]
    assert all(image.mask_uri for image in dataset.splits["train"])
    assert dataset.findings == ()


def test_a_list_may_pair_an_image_with_a_mask_of_another_name(tmp_path):
    root = make_listed(tmp_path, names=("a b", "c", "d"))
    (root / "masks" / "a b.png").rename(root / "masks" / "a b_mask.png")
    write_list(root, ["images/a b.png masks/a b_mask.png", "c"])
    dataset = opened(root)
    assert [image.mask_uri.rsplit("/")[-1] for image in dataset.splits["train"]] == [
        "a b_mask.png",
        "c.png",
    ]
    assert not [one for one in dataset.findings if one.severity == "error"]


@pytest.mark.parametrize(
    "wrong", ["im77", "images/q.png", "a.png masks/nothing.png", "../masks/a", "/etc/passwd"]
)
def test_a_name_that_matches_nothing_is_told(wrong, tmp_path):
    root = make_listed(tmp_path)
    write_list(root, ["a", "b", wrong])
    dataset = opened(root)
    assert both(dataset) == {"unmatched_names"}
    assert repr(wrong) in dataset.findings[0].message
    assert both(opened(root, allow=("unmatched_names",))) == set()


def test_a_list_of_which_no_name_matches_says_so(tmp_path):
    write_list(make_listed(tmp_path), ["x1", "x2"])
    with pytest.raises(
        ConfigError, match="no images of split 'train'.*2 of 2 lines name no image.*'x1', 'x2'"
    ):
        opened(tmp_path)


def test_a_list_that_is_no_text(tmp_path):
    write_list(make_listed(tmp_path), ["ä"], encoding="latin-1")
    with pytest.raises(ConfigError, match="train.txt: is no list of names in UTF-8"):
        opened(tmp_path)
    (tmp_path / "train.txt").write_bytes("a\nb\n".encode("utf-16-le"))
    with pytest.raises(ConfigError, match="train.txt: is no list of names in UTF-8"):
        opened(tmp_path)


def test_a_name_twice_is_one_image_and_is_mentioned(tmp_path):
    write_list(make_listed(tmp_path), ["a", "b", "images/a.png"])
    dataset = opened(tmp_path)
    assert len(dataset.splits["train"]) == 2
    assert [(one.name, one.severity) for one in dataset.findings] == [("repeated_names", "warning")]


def test_accents_may_be_composed_or_not(tmp_path):
    name = "straße übersicht é"
    for number, split in enumerate(("train", "val")):
        put(
            tmp_path / "images" / split / f"{unicodedata.normalize('NFC', name)}{number}.png",
            seed=number,
        )
        mask(tmp_path / "masks" / split / f"{unicodedata.normalize('NFD', name)}{number}.PNG")
    assert both(opened(tmp_path)) == set()


def test_voc_images_of_one_name_in_two_folders_are_two(tmp_path):
    for number, name in enumerate(("2007/000", "2008/000", "2009/000")):
        put(tmp_path / "JPEGImages" / f"{name}.jpg", seed=number)
        mask(tmp_path / "SegmentationClass" / f"{name}.png")
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Segmentation" / "train.txt").write_text("2007/000\n2008/000\n")
    (tmp_path / "ImageSets" / "Segmentation" / "val.txt").write_text("2009/000\n")
    dataset = opened(tmp_path, dataset="voc")
    assert [image.image_id for image in dataset.splits["train"]] == [
        "JPEGImages/2007/000.jpg",
        "JPEGImages/2008/000.jpg",
    ]


def test_linked_folders_are_followed_and_circles_end(tmp_path):
    root, elsewhere = make(tmp_path / "data"), tmp_path / "elsewhere"
    for number in range(3):
        put(elsewhere / "images" / f"{number}.png", seed=number + 50)
        mask(elsewhere / "masks" / f"{number}.png")
    for kind in ("images", "masks"):
        os.symlink(elsewhere / kind, root / kind / "train" / "paris")
        os.symlink(root / kind / "train", root / kind / "train" / "round")
        os.symlink("itself", root / kind / "train" / ".itself")
    dataset = opened(root)
    assert len(dataset.splits["train"]) == 7
    assert all(image.mask_uri for image in dataset.splits["train"])
    os.symlink(tmp_path / "nothing", root / "images" / "train" / "berlin")
    with pytest.raises(ConfigError, match="berlin is a link that leads nowhere"):
        opened(root)


@pytest.mark.parametrize(
    "name", ["../..", "../val", "/tmp", "", ".", "train/../val", "~/x", "s3://bucket"]
)
@pytest.mark.parametrize("key", ["train_split", "val_split", "test_split"])
def test_a_split_lies_in_the_data_set(name, key, tmp_path):
    with pytest.raises(
        ConfigError, match=rf"data.{key} .*: a split is named by a folder or list below data.root"
    ):
        opened(make(tmp_path), **{key: name})


def test_masks_that_belong_to_no_image_are_mentioned(tmp_path):
    root = make(tmp_path)
    for path in (root / "masks" / "train").iterdir():
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    report = check_dataset(opened(root), reads_masks=False)
    assert [(one["name"], one["severity"]) for one in report["findings"]] == [
        ("spare_masks", "warning")
    ]
    assert (
        "4 masks below masks/ belong to no image: masks/train/0_mask.png"
        in report["findings"][0]["message"]
    )
    assert not check_dataset(opened(root), reads_masks=True)["ok"]
    assert "set data.mask_suffix=_mask if" in report["findings"][0]["message"]


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("{}_mask.png", "_mask"),
        ("{}_mask.png", "{stem}_mask"),
        ("{}_mask.png", "{stem}_mask.png"),
        ("m-{}.png", "m-{stem}"),
        ("{}.labels.png", ".labels"),
    ],
)
def test_masks_with_names_of_their_own(name, suffix, tmp_path):
    root = make(tmp_path)
    for path in [*(root / "masks").glob("*/*")]:
        path.rename(path.with_name(name.format(path.stem)))
    message = check_dataset(opened(root))["findings"][0]["message"]
    _, offered = parse_override(re.search(r"data\.mask_suffix=\S+", message)[0])
    for one in (suffix, offered):
        report = check_dataset(opened(root, mask_suffix=one), reads_masks=True)
        assert report["findings"] == []
    assert all(one.mask_uri for one in opened(root, mask_suffix=suffix).splits["train"])


def test_a_mask_suffix_leaves_other_names_out(tmp_path):
    root = make(tmp_path)
    for path in [*(root / "masks").glob("*/*")]:
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    mask(root / "masks" / "train" / "0.png", (2, 2, 0))
    report = check_dataset(opened(root, mask_suffix="_mask"), reads_masks=True)
    assert report["ok"]
    assert "1 masks below masks/ belong to no image: masks/train/0.png" in str(report["findings"])


@pytest.mark.parametrize("pattern", ["{stem}/{stem}", "{name}", "../x{stem}", "{stem}{stem}"])
def test_patterns_that_cannot_be(pattern, tmp_path):
    with pytest.raises(ConfigError, match="data.mask_suffix"):
        opened(make(tmp_path), mask_suffix=pattern)


def test_a_layout_with_fixed_names_refuses_a_pattern(tmp_path):
    with pytest.raises(ConfigError, match="names of masks are fixed in data.dataset=cityscapes"):
        opened(tmp_path, dataset="cityscapes", class_names=None, mask_suffix="_mask")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"nearest_color": True}, "data.nearest_color: true has no effect"),
        (
            {"mask_encoding": "colors", "colors": ((0, 0, 0), (1, 1, 1), (0, 0, 0))},
            r"\[0, 0, 0\] is the colour of several classes",
        ),
        (
            {"mask_encoding": "colors", "colors": ((0, 0, 0), (1, 1, 1), (0, 0, 256))},
            "data.colors.2.2 .* less than or equal to 255",
        ),
    ],
)
def test_tables_of_colours_that_cannot_be(settings, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        opened(make(tmp_path), **settings)


def test_masks_of_both_kinds_of_cityscapes_ids_are_not_mixed(tmp_path):
    for split, kind, ids in (("train", "labelTrainIds", (0, 1)), ("val", "labelIds", (7, 8))):
        put(tmp_path / "leftImg8bit" / split / "c" / "c_0_leftImg8bit.png", seed=len(split))
        mask(tmp_path / "gtFine" / split / "c" / f"c_0_gtFine_{kind}.png", ids)
    dataset = opened(tmp_path, dataset="cityscapes", class_names=None)
    assert dataset.splits["val"][0].mask_uri is None
    assert both(dataset) == {"missing_masks"}


def test_colours_of_cityscapes_are_read_by_its_palette(tmp_path):
    colors = CityscapesLayout.colors
    painted = np.array([[*colors, (0, 0, 0), (81, 0, 81), (0, 0, 90)]], np.uint8)
    opaque = np.full((*painted.shape[:2], 1), 255, np.uint8)
    for split in ("train", "val"):
        put(tmp_path / "leftImg8bit" / split / "c" / "c_0_leftImg8bit.png", len(split), (1, 22))
        path = tmp_path / "gtFine" / split / "c" / "c_0_gtFine_color.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(np.concatenate([painted, opaque], axis=2)).save(path)
    dataset = opened(tmp_path, dataset="cityscapes", class_names=None)
    ids = read_mask(dataset.splits["val"][0].mask_uri, dataset.decoder)
    assert ids.tolist() == [[*range(19), 255, 255, 255]]
    assert both(dataset) == set() and dataset.colors == colors


def test_classes_of_cityscapes_may_be_merged(tmp_path):
    for split in ("train", "val"):
        put(tmp_path / "leftImg8bit" / split / "c" / "c_0_leftImg8bit.png", seed=len(split))
        mask(tmp_path / "gtFine" / split / "c" / "c_0_gtFine_labelIds.png", (7, 8, 26, 0))
    values = {0: "ignore", 7: "flat", 8: "flat", 26: "car"}
    settings = {"dataset": "cityscapes", "class_names": ("flat", "car"), "mask_values": values}
    dataset = opened(tmp_path, **settings)
    ids = read_mask(dataset.splits["val"][0].mask_uri, dataset.decoder)
    assert ids[0, :4].tolist() == [0, 0, 1, 255] and both(dataset) == set()


def test_names_of_cityscapes_classes_cannot_be_fewer(tmp_path):
    for split in ("train", "val"):
        put(tmp_path / "leftImg8bit" / split / "c" / "c_0_leftImg8bit.png", seed=len(split))
        mask(tmp_path / "gtFine" / split / "c" / "c_0_gtFine_labelIds.png", (7, 33))
    with pytest.raises(ConfigError, match="19 fixed classes"):
        opened(tmp_path, dataset="cityscapes")


def test_a_run_looks_before_it_begins(tmp_path):
    root = make(tmp_path, ids=(0, 255))
    values = {
        "data": {"dataset": "folder", "root": str(root), "class_names": ["background", "disc"]},
        "budget": {"start": 2, "per_cycle": 2, "amount": 4},
    }
    config = parse_config({**values, "regions": {"rows": 2, "columns": 2}}, source="test")
    with pytest.raises(ConfigError, match="disc never occurs, while 255 fills"):
        check_pool(config, check_config(config))


def test_more_than_half_of_the_pool_masks_unusable(tmp_path):
    root = make(tmp_path, train=5)
    for number in range(2):
        mask(root / "masks" / "train" / f"{number}.png", size=(6, 8))
    check_start(
        opened(root), pool_masks=True
    )  # a few are refused one by one, when they are to be labelled
    mask(root / "masks" / "train" / "2.png", size=(6, 8))
    with pytest.raises(
        ConfigError,
        match="3 of 5 masks of the split 'train' cannot be used.*6x8 pixels, its image 12x16",
    ):
        check_start(opened(root), pool_masks=True)
    check_start(opened(root))


def test_shared_pictures_are_found_in_a_bucket(tmp_path):
    root = make(tmp_path)
    (root / "images" / "val" / "0.png").write_bytes(
        (root / "images" / "train" / "2.png").read_bytes()
    )
    memory = fsspec.filesystem("memory")
    memory.put(str(root), "/findings", recursive=True)
    try:
        assert both(opened("memory://findings")) == {"shared_images"}
    finally:
        memory.rm("/findings", recursive=True)


def test_pictures_of_kinds_that_are_not_read_are_mentioned(tmp_path, caplog):
    root = make(tmp_path)
    for path in (
        "images/train/a.heic",
        "images/train/b.GIF",
        "images/train/Thumbs.db",
        "images/train/.hidden.heic",
        "masks/val/c.jp2",
    ):
        (root / path).write_bytes(b"x")
    dataset = opened(root)
    check_start(dataset)
    assert [one.name for one in dataset.findings] == ["unread_files"] * 2
    assert (
        "2 files below images/ are not read: images/train/a.heic, images/train/b.GIF" in caplog.text
    )


def test_a_test_image_may_have_no_mask(tmp_path):
    root = make(tmp_path)
    for number in range(2):
        put(root / "images" / "test" / f"{number}.png", seed=number + 70)
    assert both(opened(root)) == set()
    mask(root / "masks" / "test" / "0.png", (0, 7))
    assert not check_dataset(opened(root))["ok"]
