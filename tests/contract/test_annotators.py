"""Every annotator passes one suite, a user's own too."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from helpers.own_variants import example_of, own

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.families.annotators import ANNOTATORS, Annotator, Answers, LabelRequest, Truth
from ray_al.core.families.label_parts import Classes
from ray_al.core.families.labels import LABELS
from ray_al.core.storage import Storage
from ray_al.core.types import LABEL_SCHEMA, QUERY_SCHEMA, Box
from ray_al.datasets.compose import encode_mask

IDS = np.random.default_rng(0).integers(0, 3, (20, 30), dtype=np.uint8)
CLASSES = Classes(names=("a", "b", "c"), colors=((200, 0, 0), (0, 200, 0), (0, 0, 200)))
KINDS_OF_LABEL = sorted(LABELS.kinds)
NAMES = [("i0", 0), ("i0", 1), ("i1", 0)]


class Halves:
    """Two regions an image: its left and its right half."""

    def box(self, region: int) -> Box:
        return Box(top=0, left=15 * region, bottom=20, right=15 * region + 15)

    def mask(self, region: int) -> np.ndarray | None:
        return None


class BoardAnnotator(Annotator):
    """A user's own: a board, on which one person writes the answers to all tasks."""

    board: str = "board.json"

    def request(self, asked: LabelRequest) -> int:
        rows = asked.query.select(["image_id", "region"]).to_pylist()
        open_tasks = [
            list(row.values()) for row in rows if tuple(row.values()) not in asked.left_out
        ]
        asked.storage.replace(f"{asked.folder}/open.json", json.dumps(open_tasks).encode())
        return len(open_tasks)

    def collect(self, asked: LabelRequest) -> Answers:
        data = asked.storage.read_if_there(f"{asked.folder}/{self.board}") or b"[]"
        answered = {tuple(name) for name in json.loads(data)} - asked.taken
        rows = []
        for row in asked.query.select(["image_index", "image_id", "region"]).to_pylist():
            if (row["image_id"], row["region"]) in answered:
                place = asked.place(row["image_index"], row["region"], margin=0)
                ids = truth_of(row["image_index"], row["region"]).ids
                label = asked.label.row(asked.label.of_truth(ids, None), place.box, None)
                rows.append({**row, **label, "annotator": self.kind, "seconds": 1.0})
        return Answers(table=pa.Table.from_pylist(rows, schema=LABEL_SCHEMA))

    def close(self, asked: LabelRequest) -> None:
        asked.storage.remove(f"{asked.folder}/open.json")


OWN = f"{__name__}:BoardAnnotator"
every_kind = pytest.mark.parametrize("kind", [*ANNOTATORS.kinds, OWN, *own("label.annotator")])
every_label = pytest.mark.parametrize("label", KINDS_OF_LABEL)


def truth_of(image_index: int, region: int) -> Truth:
    box = Halves().box(region)
    return Truth(ids=IDS[:, box.left : box.right], region=None, box=box)


def asked_of(root: Any, label: str = "dense", **names: Any) -> LabelRequest:
    shared = {"score": 0.5, "num_pixels": 300, "rank": 0, "reason": "", "cost": 1}
    rows = [
        {"image_index": int(image_id[1:]), "image_id": image_id, "region": region, **shared}
        for image_id, region in NAMES
    ]
    return LabelRequest(
        storage=Storage(str(root)),
        folder="tasks",
        query=pa.Table.from_pylist(rows, schema=QUERY_SCHEMA),
        label=LABELS.parse({"kind": label}),
        classes=CLASSES,
        regions_of=lambda index: Halves(),
        size_of=lambda index: (20, 30),
        read_image=lambda index: np.zeros((20, 30, 3), np.uint8),
        propose=lambda index: None,
        truth=truth_of,
        **names,
    )


def answer_all(annotator: Annotator, asked: LabelRequest) -> None:
    """Give the right answer to every region, in the annotator's own way."""
    if annotator.kind == OWN:
        asked.storage.replace("tasks/board.json", json.dumps(NAMES).encode())
    if ":" in annotator.kind and annotator.kind != OWN and not annotator.answers_at_once:
        example_of(annotator.kind, "answer_example")(annotator, asked)
    if annotator.kind != "files":
        return
    for number, (image_id, region) in enumerate(NAMES):
        answer = asked.label.of_truth(truth_of(int(image_id[1:]), region).ids, None)
        ids = [answer] if isinstance(answer, int) else list(np.atleast_1d(answer))
        dense = isinstance(answer, np.ndarray)
        data = (
            encode_mask(np.asarray(answer)) if dense else json.dumps(list(map(int, ids))).encode()
        )
        asked.storage.replace(f"tasks/task-{number:05d}.{asked.label.answer_ending}", data)


def names_of(labels: Answers) -> list[tuple[str, int]]:
    table = labels.table
    return list(zip(table["image_id"].to_pylist(), table["region"].to_pylist(), strict=True))


def files_of(storage: Storage) -> dict[str, bytes]:
    return {name: storage.read(f"tasks/{name}") for name in storage.list("tasks")}


@every_kind
def test_it_hands_out_the_same_twice(kind, tmp_path):
    annotator, asked = ANNOTATORS.parse(kind), asked_of(tmp_path)
    first = annotator.request(asked)
    written = files_of(asked.storage)
    assert annotator.request(asked) == first == (0 if annotator.answers_at_once else 3)
    assert files_of(asked.storage) == written


@every_kind
def test_nobody_is_asked_about_what_is_left_out(kind, tmp_path):
    annotator, asked = ANNOTATORS.parse(kind), asked_of(tmp_path, left_out={NAMES[1]})
    assert annotator.request(asked) == (0 if annotator.answers_at_once else 2)
    if annotator.answers_at_once:
        assert names_of(annotator.collect(asked)) == [NAMES[0], NAMES[2]]


@every_kind
def test_without_answers_there_are_no_labels(kind, tmp_path):
    annotator, asked = ANNOTATORS.parse(kind), asked_of(tmp_path)
    annotator.request(asked)
    assert len(annotator.collect(asked).table) == (3 if annotator.answers_at_once else 0)


@every_kind
@every_label
def test_answers_become_labels_once(kind, label, tmp_path):
    annotator, asked = ANNOTATORS.parse(kind), asked_of(tmp_path, label)
    annotator.request(asked)
    answer_all(annotator, asked)
    labels = annotator.collect(asked)
    assert names_of(labels) == NAMES
    assert not labels.refused
    assert set(LABEL_SCHEMA.names) <= set(labels.table.column_names)
    assert set(labels.table["annotator"].to_pylist()) == {kind}
    for row in labels.table.to_pylist():
        truth = truth_of(row["image_index"], row["region"])
        right = asked.label.row(asked.label.of_truth(truth.ids, None), truth.box, None)
        assert {key: row[key] for key in right} == right
    assert annotator.collect(asked).table.equals(labels.table)
    later = asked_of(tmp_path, label, taken={NAMES[0], NAMES[2]})
    assert names_of(annotator.collect(later)) == [NAMES[1]]


@every_kind
def test_a_query_can_be_closed_twice(kind, tmp_path):
    annotator, asked = ANNOTATORS.parse(kind), asked_of(tmp_path)
    annotator.request(asked)
    annotator.close(asked)
    left = files_of(asked.storage)
    annotator.close(asked)
    assert files_of(asked.storage) == left


@every_kind
def test_it_says_how_it_works(kind):
    annotator = ANNOTATORS.parse(kind)
    assert 0 < annotator.quorum <= 1
    assert set(annotator.changeable) <= type(annotator).model_fields.keys()


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ({"annotator": "file"}, ["label.annotator", "did you mean 'files'"]),
        ({"annotator": {"kind": "simulated", "share": 0.5}}, ["of kind 'files'", "'simulated'"]),
        (
            {"annotator": "files", "share": 0.5},
            ["label.share", "it is a setting of label.annotator if its kind is 'files'"],
        ),
        (
            {"kind": "dominant", "margin": 5},
            ["label.margin", "it is a setting of label.annotator if its kind is 'files'"],
        ),
        ({"annotator": {"kind": "files", "share": 0}}, ["label.annotator.share", "0"]),
    ],
)
def test_wrong_settings_are_refused_with_the_right_ones(label, words):
    with pytest.raises(ConfigError) as error:
        parse_config({"label": label}, source="t")
    assert all(word in str(error.value) for word in words)
