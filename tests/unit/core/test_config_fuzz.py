"""Settings with odd values are refused in one line, or are equal after writing and reading."""

import itertools
from typing import Any

import pytest

from ray_al.core.config import RunConfig, apply_setting, load_config, parse_config, parse_yaml
from ray_al.core.errors import ConfigError
from ray_al.core.family import family_of
from ray_al.core.plain import dump_yaml
from ray_al.core.section import Section, leaves
from ray_al.core.validation import validate
from ray_al.sweep.config import SweepConfig

INF = float("inf")
ODD: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2,
        0.5,
        -0.0,
        1.5,
        1e-320,
        1e308,
        INF,
        -INF,
        float("nan"),
        2**31,
        2**63,
        10**400,
        -(2**64),
    ),
    *(
        "",
        " ",
        "x",
        "no",
        "1",
        "1e3",
        "nan",
        "inf",
        "50%",
        "-1 %",
        "1_0",
        "9" * 5000,
        "a.b",
        "..",
        "/",
        "\0",
        "é\n",
        "\udcff",
    ),
    *("12:30", "../x", "none", "auto", "%", "s3://", b"x", object(), {"a", "b"}, 1j),
    *(
        [],
        [1],
        [0, 0],
        [2, 0.5],
        [INF, 1],
        [True, 2],
        ["x"],
        ["x", "x"],
        ["no", 1],
        [[1, 2, 3]],
        [[0, 0, -1]],
        [2**70, 2**70],
        [[]],
        [None],
    ),
    *({}, {"x": 1}, {1: 2}, {"kind": "x"}, {"grid": [1]}, {"range": [0, INF]}, {"": {"": 1}}),
)
"""Of each kind some: what no setting should be, and what one might be."""


def fields_of(model: type[Section], *keys: str):
    """The dotted key of every field and of every section."""
    for name, field in model.model_fields.items():
        yield ".".join((*keys, name))
        family = family_of(field)
        variants = [family.find(kind) for kind in family.kinds] if family else []
        sections = [
            leaf
            for leaf in leaves(field.annotation)
            if isinstance(leaf, type) and issubclass(leaf, Section)
        ]
        for section in dict.fromkeys([*sections, *variants]):
            yield from fields_of(section, *keys, name)


RUN_KEYS, SWEEP_KEYS = (
    list(dict.fromkeys(fields_of(RunConfig))),
    [*fields_of(SweepConfig), "space.x", "space.x.grid"],
)


def test_the_keys_are_all_there():
    assert {
        "train.augment.scale",
        "strategy.batch.beta",
        "tracking.mlflow.experiment",
        "label.annotator.share",
        "seed",
        "data",
    } <= set(RUN_KEYS)
    assert {"limits.hours", "search.kind", "space"} <= set(SWEEP_KEYS)


def check(model, parse, base, key, value):
    values = dict(base)
    apply_setting(values, key, value)
    try:
        config = parse(values)
    except ConfigError as error:
        message = str(error)
        assert "\n" not in message
        assert len(message) < 700, message
        assert key.split(".")[0] in message, message
        return False
    section = key.split(".")[0]  # the others are as they were
    written = dump_yaml(
        {section: config.model_dump(mode="json", exclude_none=model is SweepConfig).get(section)}
    )
    assert parse({**base, **parse_yaml(written, source="again")}) == config
    return True


@pytest.mark.parametrize("key", RUN_KEYS)
def test_a_run_setting_is_refused_or_kept(key):
    taken = [
        check(
            RunConfig,
            lambda values: parse_config(values, source="c"),
            {"data": {"root": "/x"}},
            key,
            value,
        )
        for value in ODD
    ]
    assert not all(taken)


@pytest.mark.parametrize("key", SWEEP_KEYS)
def test_a_sweep_setting_is_refused_or_kept(key):
    for value in ODD:
        check(SweepConfig, lambda values: validate(SweepConfig, values, source="c"), {}, key, value)


@pytest.mark.parametrize("key", [key for key in RUN_KEYS if key != "model.args"])
def test_an_unknown_key_is_named_wherever_it_stands(key):
    with pytest.raises(ConfigError) as error:
        values: dict[Any, Any] = {}
        apply_setting(values, f"{key}.nosuchkey", 1)
        parse_config(values, source="c")
    assert key.split(".")[0] in str(error.value)


TEXTS = """
=,x,{kind:,[,&a [*a],!!python/none,',@,%,a: b: c,{a: 1, a: 2},\t,1e-3,~,- ,? ,|,*x,`,!,<<,{<<: 1}
""".strip().split(",")
KEYS = [
    "regions",
    "regions.kind",
    "train.learning_rate",
    "model.args",
    "data.class_names",
    "strategy.lazy",
    "strategy.label_time",
    "",
    ".",
    "a..b",
    "train.steps.x",
    " seed ",
    "seed.",
    "=",
]  # noqa: SIM905


@pytest.mark.parametrize("key", KEYS)
def test_whatever_stands_after_set(key, tmp_path):
    (tmp_path / "c.yaml").write_text("name: c\n")
    for text, sign in itertools.product(TEXTS, ("=", "")):
        try:
            config = load_config(str(tmp_path / "c.yaml"), [f"{key}{sign}{text}"])
        except ConfigError as error:
            assert "\n" not in str(error)
        else:
            assert (
                parse_config(parse_yaml(config.to_yaml(), source="again"), source="again") == config
            )
