"""YAML as people write it, and what no setting can be."""

import pytest
import yaml

from ray_al.core.errors import ConfigError
from ray_al.core.plain import dump_yaml, load_yaml, plain


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[yes, no, on, off, y, N]", ["yes", "no", "on", "off", "y", "N"]),
        ("[true, False, null, ~]", [True, False, None, None]),
        ("[1e-3, 1E5, .5, 5., -2.5e+3]", [0.001, 100000.0, 0.5, 5.0, -2500.0]),
        ("[12:30, 2024-01-01, 007, 1_000]", ["12:30", "2024-01-01", "007", "1_000"]),
        ("[0o17, 0x1F, 10, -0, +3]", [15, 31, 10, 0, 3]),
        ("{on: 1, no: {yes: 2}}", {"on": 1, "no": {"yes": 2}}),
        ("", None),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        ("a: &x {b: 1}\nc: {<<: *x, b: 2}", {"a": {"b": 1}, "c": {"b": 2}}),
    ],
)
def test_yaml_is_read_as_it_is_meant(text, value):
    assert load_yaml(text, source="c") == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", ["not valid YAML", "line 1"]),
        ("{kind:", ["not valid YAML"]),
        ("a:\n\tb: 1", ["not valid YAML", "line 2"]),
        ("train: {steps: 1, steps: 2}", ["'steps' is given twice"]),
        ("a: 1\nb: 2\na: 3", ["'a' is given twice", "line 3"]),
        ("a: .inf", ["a: ", "inf is not a finite number"]),
        ("a: [1, 1e999]", ["a.1: ", "not a finite number"]),
        ("a: .nan", ["nan"]),
        ("a: " + "9" * 5000, ["c: "]),
        ("a: 0x" + "f" * 5000, ["64 bits"]),
        ("1.5: x", ["the key 1.5 is not text"]),
        ('0x1: x\n"1": y', ["the key '1' is given twice"]),
        ("a: {null: x}", ["a: ", "None"]),
        ("a: &a [*a]", ["without end"]),
        ("[" * 1200, ["deep"]),
        ("[" * 60 + "]" * 60, ["deep"]),
        ("a: !!python/object:os.system x", ["not valid YAML"]),
        ("a: !!timestamp 2024-99-99", ["not valid YAML"]),
        ("a: !!int x", ["not valid YAML"]),
        ("a: !!bool x", ["not valid YAML"]),
        ("a: !!set {x, y}", ["not valid YAML"]),
        ("a: 1\n---\nb: 2", ["single document"]),
        (b"\xff\xfea", ["not valid YAML"]),
        (b"\x89PNG\r\n\x1a\n\0\0", ["not valid YAML"]),
        (b"a: \xe9", ["not valid YAML"]),
        ('a: "x\\0y"', ["a: ", "characters"]),
        ('a: "\\ud800"', ["a: ", "characters"]),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(text, words):
    with pytest.raises(ConfigError) as error:
        load_yaml(text, source="c")
    message = str(error.value)
    assert message.startswith("c: ")
    assert "\n" not in message
    assert len(message) < 400
    for word in words:
        assert word in message


def test_aliases_that_multiply_are_refused():
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"] + [
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)
    ]
    with pytest.raises(ConfigError, match="without end"):
        load_yaml("\n".join(lines), source="c")


def test_an_alias_is_a_copy():
    values = load_yaml("a: &x {b: [1]}\nc: *x", source="c")
    values["a"]["b"].append(2)
    assert values["c"] == {"b": [1]}


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, b"x", {"a": {3.5: 4}}, float("inf"), [float("nan")], "\udcff"]
)
def test_what_is_no_plain_value(value):
    with pytest.raises(ConfigError):
        plain(value, source="c")


ODD_TEXTS = [
    "no",
    "1e3",
    "1e-3",
    "007",
    "010",
    "12:30",
    "2024-01-01",
    "~",
    "null",
    "true",
    "",
    " x ",
    "a: b",
    "- a",
    "# c",
    "é\n",
    "0x10",
    "0o7",
    ".inf",
    "<<",
    "=",
]


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_text_stays_text(text):
    values = {"names": [text, text], text: text}
    written = dump_yaml(values)
    assert load_yaml(written, source="c") == values
    assert yaml.safe_load(written) == values
    assert "&id" not in written
