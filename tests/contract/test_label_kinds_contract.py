"""Every label kind passes one suite, a user's own too."""

import json
from typing import Any

import numpy as np
import pytest
from helpers.own_variants import own

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError, DataError
from ray_al.core.families.label_parts import Classes, Place
from ray_al.core.families.labels import LABELS, LabelKind, RegionLabel
from ray_al.core.types import Box
from ray_al.datasets.compose import Part, compose_targets, encode_mask

CLASSES = Classes(names=("a", "b", "c"), colors=((200, 0, 0), (0, 200, 0), (0, 0, 200)))
IDS = np.array([[2, 2, 1, 0], [1, 0, 255, 1], [1, 1, 1, 255]], np.uint8)
BOX = Box(top=1, left=2, bottom=4, right=6)
CORNER = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]], bool)


OWN = "helpers.own_labels:RarestLabel"
every_kind = pytest.mark.parametrize("kind", [*LABELS.kinds, OWN, *own("label")])
every_region = pytest.mark.parametrize("region", [None, CORNER], ids=["whole", "part"])


def label_of(kind: str, **settings: Any) -> LabelKind:
    return parse_config({"label": {"kind": kind, **settings}}, source="t").label


def answer_file(label: LabelKind, answer: RegionLabel) -> bytes:
    """The answer, as a person writes it."""
    if isinstance(answer, np.ndarray):
        return encode_mask(answer)
    ids = [answer] if isinstance(answer, int) else list(answer)
    return json.dumps([value for value in ids if value != 255]).encode()


@every_kind
@every_region
@pytest.mark.parametrize("void", [False, True])
def test_a_file_that_holds_the_right_answer_gives_it(kind, region, void):
    label = label_of(kind)
    answer = label.of_truth(np.full_like(IDS, 255) if void else IDS, region)
    place = Place(box=BOX, context=BOX, region=region)
    read = label.read(answer_file(label, answer), place, CLASSES)
    assert np.array_equal(read, answer)
    assert label.row(read, BOX, region) == label.row(answer, BOX, region)


@every_kind
@every_region
def test_training_makes_the_label_again_inside_the_region_alone(kind, region):
    label = label_of(kind)
    answer = label.of_truth(IDS, region)
    row = label.row(answer, BOX, region)
    assert (row["classes"] is not None) == label.is_partial
    bits = compose_targets([Part.of_row(BOX, row)], 6, 8)[..., 0]
    inside = np.zeros((6, 8), bool)
    inside[1:4, 2:6] = True if region is None else region
    assert not bits[~inside].any()
    if label.is_partial:
        ids = [answer] if isinstance(answer, int) else list(answer)
        assert (bits[inside] == sum(1 << one for one in ids)).all()
    else:
        there = IDS[np.ones_like(IDS, bool) if region is None else region]
        assert bits[inside].tolist() == [0 if one == 255 else 1 << int(one) for one in there]


@every_kind
@every_region
def test_it_costs_at_least_one_click_and_never_more_than_reserved(kind, region):
    label = label_of(kind)
    size = IDS.size if region is None else int(region.sum())
    clicks = label.row(label.of_truth(IDS, region), BOX, region)["clicks"]
    assert 1 <= clicks <= label.most_clicks(size, 3)


@every_kind
def test_a_file_that_says_nothing_readable_is_refused(kind):
    label, place = label_of(kind), Place(box=BOX, context=BOX, region=None)
    with pytest.raises(DataError):
        label.read(b"\x00", place, CLASSES)


@every_kind
def test_it_names_its_source_and_its_answers(kind):
    found = LABELS.find(kind)
    assert found.paper
    assert found.answer_ending.split(".")[-1] in ("png", "json")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kind": "dense", "sieve": True}, ["label.sieve", "of kind 'dominant'", "'dense'"]),
        ({"kind": "classes", "max_clicks": 9}, ["label.max_clicks", "of kind 'dense'"]),
        ({"kind": "dens"}, ["did you mean 'dense'"]),
    ],
)
def test_a_setting_of_another_kind_is_refused_with_the_kind_that_has_it(values, words):
    with pytest.raises(ConfigError) as error:
        label_of(**values)
    assert all(word in str(error.value) for word in words)
