"""`data.mask_values`: the table from what stands in masks to the classes."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.pictures import npy as array
from helpers.pictures import saved
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ray_al.core.config import DataConfig, load_config, parse_config
from ray_al.core.errors import ConfigError, DataError
from ray_al.core.validation import validate
from ray_al.datasets import open_dataset
from ray_al.datasets.check import check_dataset
from ray_al.datasets.class_table import open_class_table
from ray_al.datasets.masks import decode_mask

few = settings(max_examples=30, deadline=None, derandomize=True, database=None)
NAMES = ("ground", "disc", "bar")
VOID = 255
IDS = np.resize(np.array([0, 1, 2, VOID], np.uint8), (6, 8))


def table_of(values, names=NAMES, root="nowhere", **data):
    """The class table of a configuration with these mask values."""
    section = {"dataset": "folder", "root": str(root), "class_names": names, "mask_values": values}
    return open_class_table(validate(DataConfig, {**section, **data}, source="test"), str(root))


def painted(ids, values):
    """Replace 0, 1, 2 and 255 by the four given values."""
    table = np.zeros((256, *np.shape(values[0])), dtype=np.int64)
    table[[0, 1, 2, VOID]] = values
    return table[ids]


def indexed(numbers, colors):
    picture = Image.fromarray(numbers.astype(np.uint8))
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(colors)] = colors
    picture.putpalette(palette.ravel().tolist())
    return picture


def with_alpha(levels):
    opaque = np.full_like(levels, 255)
    return Image.fromarray(np.dstack([levels, opaque]).astype(np.uint8))


def of_ids(values):
    """The table by which the values of `painted` are ids."""
    return dict(zip(map(int, values), (*NAMES, "ignore"), strict=True))


def of_colors(values):
    return {
        ",".join(map(str, color)): name
        for color, name in zip(values, (*NAMES, "ignore"), strict=True)
    }


BYTES = st.lists(st.integers(0, 255), min_size=4, max_size=4, unique=True)
WORDS = st.lists(st.integers(0, 65535), min_size=4, max_size=4, unique=True)
COLORS = st.lists(
    st.tuples(*[st.integers(0, 255)] * 3), min_size=4, max_size=4, unique=True
).filter(lambda colors: any(len(set(color)) > 1 for color in colors))
ENCODINGS = {
    "ids": (BYTES, lambda ids, v: saved(Image.fromarray(painted(ids, v).astype(np.uint8))), of_ids),
    "ids in TIFF": (
        BYTES,
        lambda ids, v: saved(Image.fromarray(painted(ids, v).astype(np.uint8)), "TIFF"),
        of_ids,
    ),
    "16 bit": (
        WORDS,
        lambda ids, v: saved(Image.fromarray(painted(ids, v).astype(np.uint16))),
        of_ids,
    ),
    "array of 16 bits": (WORDS, lambda ids, v: array(painted(ids, v).astype(np.uint16)), of_ids),
    "array of 64 bits": (WORDS, lambda ids, v: array(painted(ids, v)), of_ids),
    "palette entries": (
        BYTES,
        lambda ids, v: saved(indexed(painted(ids, v), [(9, 9, 9)] * 256)),
        of_ids,
    ),
    "grey and alpha": (BYTES, lambda ids, v: saved(with_alpha(painted(ids, v))), of_ids),
    "ids in three channels": (
        BYTES,
        lambda ids, v: saved(Image.fromarray(np.dstack([painted(ids, v)] * 3).astype(np.uint8))),
        of_ids,
    ),
    "colours": (
        COLORS,
        lambda ids, v: saved(Image.fromarray(painted(ids, v).astype(np.uint8))),
        of_colors,
    ),
    "colours in an array": (
        COLORS,
        lambda ids, v: array(painted(ids, v).astype(np.uint8)),
        of_colors,
    ),
    "colours of a palette": (
        COLORS,
        lambda ids, v: saved(indexed(np.where(ids == VOID, 3, ids), v)),
        of_colors,
    ),
    "grey levels": (
        BYTES,
        lambda ids, v: saved(Image.fromarray(painted(ids, v).astype(np.uint8))),
        lambda values: of_colors([(value,) * 3 for value in values]),
    ),
}
PICTURES = st.lists(st.sampled_from((0, 1, 2, VOID)), min_size=48, max_size=48).map(
    lambda ids: np.array(ids, np.uint8).reshape(6, 8)
)


@pytest.mark.parametrize("name", ENCODINGS)
@few
@given(data=st.data())
def test_masks_are_read_back_as_they_were_written(name, data):
    values, write, describe = ENCODINGS[name]
    drawn, ids = data.draw(values), data.draw(PICTURES)
    # A colour picture whose colours happen to be grey is one of ids: both tables may read it.
    table = table_of(describe(drawn))
    assert np.array_equal(decode_mask(write(ids, drawn), name, table.decoder).ids, ids)


@pytest.mark.parametrize("name", ENCODINGS)
@few
@given(data=st.data())
def test_a_value_that_the_table_lacks_is_refused(name, data):
    values, write, describe = ENCODINGS[name]
    drawn = data.draw(values)
    given_table = describe(drawn)
    lost = data.draw(st.sampled_from(sorted(given_table, key=str)))
    left = {key: value for key, value in given_table.items() if key != lost}
    names = tuple(name for name in NAMES if name in left.values())
    with pytest.raises(DataError, match="mask_values|too many"):
        decode_mask(write(IDS, drawn), name, table_of(left, names).decoder)


@few
@given(order=st.permutations(range(6)), names=st.permutations(("a", "b", "c", "a", "b", "ignore")))
def test_ids_in_any_order_become_the_classes_of_the_table(order, names):
    table = table_of(dict(zip(order, names, strict=True)), ("a", "b", "c"))
    ids = np.array([order], np.uint8)
    wanted = [{"a": 0, "b": 1, "c": 2, "ignore": VOID}[name] for name in names]
    assert decode_mask(array(ids), "m", table.decoder).ids.tolist() == [wanted]


def test_classes_are_merged_and_255_may_be_one():
    table = table_of({0: "ground", 7: "ground", 255: "disc", 9: "bar", 8: "ignore"})
    found = decode_mask(array(np.array([[0, 7, 255, 9, 8]], np.uint8)), "m", table.decoder)
    assert found.ids.tolist() == [[0, 0, 1, 2, VOID]]
    assert found.void_numbers == {8} and table.void_ids == {8}


def test_names_keep_their_order_and_colours_of_masks_are_shown():
    table = table_of({"#00ff00": "bar", "9,9,9": "ground", "8,8,8": "bar", "0,0,1": "disc"})
    assert table.class_names == NAMES
    assert table.colors == ((9, 9, 9), (0, 0, 1), (0, 255, 0))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({0: "ground", 1: "disc"}, "no value means 'bar'"),
        ({0: "ground", 1: "disc", 2: "bar", 3: "sea"}, "'sea' is not in data.class_names"),
        ({0: "ground", 1: "disc", 2: "bar", 3: "sky"}, r"mask_values: \{.*3: ignore\}"),
        ({0: "ground", "1,1,1": "disc", 2: "bar"}, "both ids and colours"),
        ({0: "ground", "0": "disc", 2: "bar"}, "the key '0' is given twice"),
        ({-1: "ground"}, "'-1' is neither an id nor a colour"),
        ({True: "ground"}, "the key True is not text"),
        ({"0": "ground", "00": "disc"}, "0 means two classes"),
        ({"1,2": "ground"}, "neither an id nor a colour"),
        ({"1,2,256": "ground"}, "neither an id nor a colour"),
        ({"red": "ground"}, "neither an id nor a colour"),
        ({1: 3}, "is no name"),
        ({1: None}, "is no name"),
        ({}, "give a table"),
        ([1, 2], "give a table"),
        (7, "give a table"),
        ({f"0,0,{n}": "ground" for n in range(256)} | {"1,1,1": "disc", "2,2,2": "bar"}, "255"),
    ],
)
def test_tables_that_cannot_be(values, words):
    with pytest.raises(ConfigError, match=f"(?s)mask_values.*{words}|{words}"):
        table_of(values)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"ignore_ids": (0,)}, "data.ignore_ids has no effect beside data.mask_values"),
        ({"mask_encoding": "colors"}, "data.mask_encoding has no effect beside"),
        ({"nearest_color": True}, "holds ids"),
        ({"class_names": ("ground", "ignore")}, "means 'no label'"),
    ],
)
def test_settings_that_contradict_a_table(setting, words):
    with pytest.raises(ConfigError, match=words):
        table_of({0: "ground", 1: "disc", 2: "bar"}, **setting)


def test_a_table_survives_yaml_and_the_command_line(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        "data:\n  root: x\n  dataset: folder\n  class_names: [a]\n"
        "  mask_values: {0: a, 0x10: ignore}\n"
    )
    config = load_config(str(path), ["data.mask_values={255: ignore}"])
    assert config.data.mask_values == {"0": "a", "16": "ignore", "255": "ignore"}
    again = tmp_path / "again.yaml"
    again.write_text(config.to_yaml())
    assert load_config(str(again)).data.mask_values == config.data.mask_values


CVAT = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ndisc:255,0,0::\nignore:9,9,9::\n"


@pytest.mark.parametrize(
    "text", [CVAT, "0 0 0\tbackground\n255 0 0\tdisc\n9 9 9 ignore\n", CVAT.replace("\n", "\r\n")]
)
def test_a_table_in_a_file_gives_names_colours_and_values(text, tmp_path):
    (tmp_path / "labels.txt").write_bytes(text.encode())
    table = table_of("labels.txt", None, str(tmp_path))
    assert table.class_names == ("background", "disc")
    assert table.colors == ((0, 0, 0), (255, 0, 0))
    mask = np.array([[(255, 0, 0), (0, 0, 0), (9, 9, 9)]], np.uint8)
    assert decode_mask(array(mask), "m", table.decoder).ids.tolist() == [[1, 0, VOID]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("background:0,0,0::\ndisc:0,0,0::\n", "have the same colour 0,0,0"),
        ("background:0,0::\n", "neither `name:red,green,blue"),
        ("background:::\n", "neither `name:red,green,blue"),
        ("hello\n", "neither `name:red,green,blue"),
        ("# nothing\n", "names no class"),
        (None, "there is no file 'labels.txt'"),
    ],
)
def test_files_that_hold_no_table(text, words, tmp_path):
    if text is not None:
        (tmp_path / "labels.txt").write_text(text)
    with pytest.raises(ConfigError, match=words):
        table_of("labels.txt", None, str(tmp_path))


def make(root: Path, write, *, count=4):
    """images/ and masks/ of both splits, with all of `IDS` in each mask."""
    for split in ("train", "val"):
        for number in range(count):
            rng = np.random.default_rng((number, split == "val"))
            for folder, data in (
                ("images", saved(Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8)))),
                ("masks", write(IDS)),
            ):
                path = root / folder / split / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
    return root


def findings_of(root, **data):
    section = {"dataset": "folder", "root": str(root), "class_names": NAMES, **data}
    dataset = open_dataset(parse_config({"data": section}, source="test").data)
    report = check_dataset(dataset, reads_masks=True)
    return report, dataset


def offered(message):
    """The tables that a message offers to be copied."""
    found = re.findall(r"mask_values: \{.*?\}", message)
    return [yaml.safe_load(text)["mask_values"] for text in found]


def grey(values):
    return lambda ids: saved(Image.fromarray(painted(ids, values).astype(np.uint8)))


@pytest.mark.parametrize(
    ("values", "names", "wanted"),
    [
        ((0, 255, 0, 255), ("ground", "disc"), [{0: "ground", 255: "disc"}]),
        ((0, 128, 200, 0), NAMES, [{0: "ground", 128: "disc", 200: "bar"}]),
        (
            (1, 2, 3, 255),
            NAMES,
            [{1: "ground", 2: "disc", 3: "bar", 255: "ignore"}],
        ),
        (
            (1, 2, 3, 0),
            NAMES,
            [
                {0: "ignore", 1: "ground", 2: "disc", 3: "bar"},
                {0: "ground", 1: "disc", 2: "bar", 3: "ignore"},
            ],
        ),
        ((0, 1, 2, 9), NAMES, None),
        ((0, 7, 9, 20), ("ground", "disc"), [{0: "NAME", 7: "NAME", 9: "NAME", 20: "NAME"}]),
    ],
)
def test_the_message_holds_the_table_to_copy(values, names, wanted, tmp_path):
    root = make(tmp_path, grey(values))
    report, _ = findings_of(root, class_names=names)
    assert not report["ok"]
    tables = offered(report["findings"][0]["message"])
    assert wanted is None or tables == wanted
    for table in tables:
        if "NAME" in table.values():
            with pytest.raises(ConfigError, match="NAME stands for a class that only you can know"):
                findings_of(root, class_names=names, mask_values=table)
        else:
            again, dataset = findings_of(root, class_names=names, mask_values=table)
            assert again["ok"], again["findings"]
            assert set(dataset.decoder.known) == set(table)


def test_a_table_of_many_classes_is_offered_whole():
    names = tuple(f"class {number}" for number in range(60))
    with pytest.raises(DataError) as raised:
        decoder = table_of(None, names).decoder
        decode_mask(array(np.arange(2, 62, dtype=np.uint8).reshape(6, 10)), "m", decoder)
    assert offered(str(raised.value)) == [dict(zip(range(2, 62), names, strict=True))]
    with pytest.raises(DataError, match="100 different values are too many"):
        decode_mask(array(np.arange(100, dtype=np.uint8).reshape(10, 10)), "m", decoder)


def test_the_table_of_colours_to_copy(tmp_path):
    colors = ((0, 0, 0), (255, 0, 0), (0, 0, 255), (255, 255, 255))
    root = make(tmp_path, grey(colors))
    report, _ = findings_of(root)
    keys = {",".join(map(str, color)) for color in colors}
    assert offered(report["findings"][0]["message"]) == [dict.fromkeys(sorted(keys), "NAME")]
    report, _ = findings_of(root, mask_encoding="colors", colors=colors[:3])
    [table] = offered(report["findings"][0]["message"])
    assert table == {
        "0,0,0": "ground",
        "255,0,0": "disc",
        "0,0,255": "bar",
        "255,255,255": "NAME",
    }
    report, _ = findings_of(root, mask_values={**table, "255,255,255": "ignore"})
    assert report["ok"] and report["splits"]["val"]["class_shares"]["ignored"] == 0.25


def test_a_class_that_a_table_ignores_by_mistake_is_found(tmp_path):
    root = make(tmp_path, grey((0, 1, 2, 0)))
    values = {0: "ground", 1: "disc", 2: "ignore", 7: "bar"}
    report, _ = findings_of(root, mask_values=values)
    assert [one["name"] for one in report["findings"]] == ["absent_class"]
    assert offered(report["findings"][0]["message"]) == [{**values, 2: "bar"}]
    report, _ = findings_of(root, mask_values=values, allow=("absent_class",))
    assert report["ok"]


def test_labelmap_txt_is_read_where_it_lies(tmp_path):
    colors = ((0, 0, 0), (255, 0, 0), (0, 0, 255), (0, 0, 0))
    root = make(tmp_path, grey(colors))
    (root / "labelmap.txt").write_text("ground:0,0,0::\ndisc:255,0,0::\nbar:0,0,255::\n")
    report, dataset = findings_of(root, class_names=None)
    assert report["ok"] and dataset.class_names == NAMES
    assert report["splits"]["train"]["class_shares"]["ground"] == 0.5


def test_a_palette_in_another_order_is_refused_beside_a_table():
    colors = ((0, 0, 0), (255, 0, 0), (0, 0, 255))
    numbers = np.where(IDS == VOID, 0, IDS)
    table = table_of({0: "ground", 1: "disc", 2: "bar"}, colors=colors)
    right = decode_mask(saved(indexed(numbers, colors)), "m", table.decoder)
    assert np.array_equal(right.ids, numbers)
    with pytest.raises(DataError, match=r"number 0 has the colour \(0, 0, 255\).*gives to 'bar'"):
        decode_mask(saved(indexed(numbers, colors[::-1])), "m", table.decoder)
