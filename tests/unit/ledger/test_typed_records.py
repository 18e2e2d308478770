"""Records are parsed once, those of earlier versions as well; each kind of event is folded."""

import json
from pathlib import Path

import pytest
from helpers.records import FILE

from ray_al.core.errors import StorageError
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef, Refusal
from ray_al.ledger import Event, Journal, fold
from ray_al.ledger.fold import apply
from ray_al.ledger.parse import Malformed, parse
from ray_al.ledger.records import (
    RECORDS,
    CycleTrained,
    LabelsReceived,
    RunCreated,
    ShardsScored,
)
from ray_al.report.rows import curve_rows

OLD = json.loads((Path(__file__).parent / "old_journal.json").read_text())
"""Events of an earlier version: without the keys that came later, with one that is gone."""


@pytest.fixture
def old(tmp_path):
    storage = Storage(str(tmp_path))
    for values in OLD:
        name = f"journal/{values['sequence']:08d}.json"
        storage.create(name, json.dumps(values, indent=1).encode())
    return Journal(storage)


def test_a_journal_of_an_earlier_version_is_folded(old):
    state = fold(old.events)
    assert (state.created.name, state.created.class_names) == ("old", ("road", "sky"))
    assert state.created.config_yaml is None and state.created.val_digest is None
    assert (state.spent, state.reserved, state.remaining) == (3, 0, 9)
    assert state.visits is None and state.labelled_clicks == 0
    assert state.refused == (
        Refusal(image_id="y", region=1, reason="id 9 is no class", final=False),
    )
    assert state.trained[0].left_out is None and state.trained[0].labelled.visits is None
    assert state.unlabelled_classes == ["sky"]
    assert (state.scored[0].recall, state.scored[0].rest) == (None, False)
    assert state.scores[0][1] is None
    assert (state.filled, state.finished) == (0, "nothing left that fits the budget")
    assert state.updated_at == OLD[-1]["time"]


def test_a_journal_of_an_earlier_version_has_a_curve(old):
    (row,) = curve_rows(fold(old.events))
    assert (row["cost"], row["miou"], row["iou_sky"]) == (3, 0.5, None)
    assert (row["labelled_clicks"], row["labelled_visits"]) == (None, None)
    assert row["labelled_fraction"] == 3 / 24
    assert (row["label_seconds"], row["cycle_seconds"]) == (3.0, 7.5)


def test_events_are_written_as_they_were_read(old):
    for values, event in zip(OLD, old.events, strict=True):
        assert event.to_bytes() == json.dumps(values, indent=1).encode()


def test_each_kind_of_event_is_folded():
    assert all(record.kind == kind for kind, record in RECORDS.items())
    assert set(RECORDS.values()) <= apply.registry.keys()


def test_values_are_parsed():
    record = old_record("cycle_trained", {"losses": [[0, 1], [5, 0.5]]})
    assert isinstance(record, CycleTrained)
    assert record.model == FileRef(path="cycles/0000/checkpoint/model.pt", size=1, sha256="0")
    assert record.val.iou == (0.5, None)
    assert record.losses == ((0, 1), (5, 0.5))
    assert type(record.evaluate_seconds) is int  # as it is written
    record = old_record("labels_received", {"corrected": [["y", 1]], "num_images": None})
    assert isinstance(record, LabelsReceived)
    assert (record.corrected, record.num_images) == ((("y", 1),), None)


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("run_created", {"amount": None}, "amount is None"),
        ("run_created", {"amount": True}, "amount is True"),
        ("run_created", {"amount": 1.5}, "amount is 1.5"),
        ("run_created", {"unit": "hours"}, "unit is 'hours', not one of clicks, images, pixels"),
        ("run_created", {"manifest": {"path": "f"}}, "manifest lacks ['sha256', 'size']"),
        ("run_created", {"manifest": "f"}, "manifest is 'f', not keys and values"),
        ("run_created", {"class_names": "road"}, "class_names is 'road', not a list"),
        ("run_created", {"colors": [[1, 2, "x"]]}, "colors[0][2] is 'x'"),
        ("shards_scored", {"parts": [{"file": None}]}, "parts[0] lacks ['shard']"),
        ("cycle_trained", {"files": {}}, "files lacks ['model.pt']"),
        ("cycle_trained", {"files": {"model.pt": FILE, "x": 1}}, "files.x is 1, not keys and"),
        ("cycle_trained", {"metrics": {"val": {}}}, "metrics.val lacks ['iou', 'miou'"),
        ("cycle_trained", {"losses": [[1, 2, 3]]}, "losses[0] is [1, 2, 3], not 2 values"),
        ("labels_received", {"refused": [{"final": 1}]}, "refused[0] lacks ['image_id', 'reason'"),
        ("run_finished", {"reason": "x" * 100, "cycle": 0}, None),
        ("run_finished", {"reason": ["x" * 100]}, "xxx..."),
    ],
)
def test_a_wrong_value_is_named_with_its_key(kind, changes, words):
    if words is None:  # keys that no version knows may hold anything
        old_record(kind, changes)
        return
    with pytest.raises(StorageError) as caught:
        old_record(kind, changes)
    assert f"({kind}): " in str(caught.value) and words in str(caught.value)
    assert str(caught.value).endswith("restore the file from a copy")


def test_missing_keys_are_named():
    with pytest.raises(Malformed, match=r"^keys \['cycle', 'parts'\] are missing$"):
        parse(ShardsScored, {})


def test_the_units_of_users_are_known_by_their_place():
    assert parse(RunCreated, {**OLD[0]["data"], "unit": "package.module:Hours"}).unit


def old_record(kind, changes):
    """The record of the last old event of `kind`, with some values changed."""
    data = next(values["data"] for values in reversed(OLD) if values["kind"] == kind)
    return Event(sequence=0, kind=kind, time="t", data={**data, **changes}).record


PAYLOADS = json.loads((Path(__file__).parent / "payloads.json").read_text())
"""Kinds and data of events as journals have had them so far."""


def test_every_kind_has_an_example_of_its_payload():
    assert {kind for kind, _ in PAYLOADS} == set(RECORDS)


@pytest.mark.parametrize(("kind", "data"), PAYLOADS)
def test_a_record_is_written_as_it_was_read(kind, data):
    """With the same keys in the same order, so that the bytes of journals do not change."""
    assert json.dumps(parse(RECORDS[kind], data).payload()) == json.dumps(data)


@pytest.mark.parametrize("kind", ["run_created", "run_extended"])
@pytest.mark.parametrize(
    ("colors", "words"),
    [([], "colors has 0 values, class_names 1"), ([[0, 300, 0]], "not values from 0 to 255")],
)
def test_colors_that_cannot_be_painted_are_refused(kind: str, colors: object, words: str) -> None:
    example = next(data for name, data in PAYLOADS if name == kind)
    with pytest.raises(Malformed, match=words):
        parse(RECORDS[kind], {**example, "class_names": ["sky"], "colors": colors})
