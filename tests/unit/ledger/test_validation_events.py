"""What the events of validation images that people label amount to."""

import pytest
from helpers.records import FILE, cycle_trained, record, run_created

from ray_al.core.errors import StorageError
from ray_al.ledger import Event, fold
from ray_al.ledger.records import RunCreated

ASKED = {"manifest": FILE, "num_images": 3}
CREATED = run_created(unlabelled_validation=ASKED)
REQUESTED = record("validation_requested", tasks="t", num_tasks=3)
CLOSED = record("validation_closed", masks=[], num_unanswered=3, class_pixels=[])


def refusal(image_id: str, *, final: bool):
    return {"image_id": image_id, "region": 0, "reason": "r", "final": final}


def received(num_images: int, **changes):
    values = {"part": FILE, "num_pixels": 9, "clicks": 5, "seconds": 0.1, "term": 1}
    return record("validation_received", **{**values, "num_images": num_images, **changes})


def masks(*names: str):
    return [{"image_id": name, "file": FILE} for name in names]


def folded(*records):
    return fold(
        Event(sequence=number, kind=one.kind, time="", data=one.payload())
        for number, one in enumerate(records)
    )


def test_labels_add_up_until_they_are_closed():
    first = received(1, refused=[refusal("a", final=False), refusal("b", final=True)])
    state = folded(CREATED, REQUESTED, first).validation
    assert (state.answered, state.left_out, state.missing, state.tasks) == (1, 1, 1, "t")
    second = received(1, corrected=[["a", 0]], label_seconds=60, term=2)
    state = folded(CREATED, REQUESTED, first, second).validation
    assert (state.answered, state.missing, state.clicks, state.label_seconds) == (2, 0, 10, 60)
    assert [one.image_id for one in state.refused] == ["b"]
    assert (len(state.parts), state.collected_in_attempt) == (2, 2)
    end = record("validation_closed", masks=masks("a", "c"), num_unanswered=1, class_pixels=[4, 5])
    state = folded(CREATED, REQUESTED, first, second, end).validation
    assert state.closed == end and state.missing == 0


def test_nothing_of_it_is_spent():
    state = folded(CREATED, REQUESTED, received(3))
    assert (state.spent, state.reserved, state.labelled_regions, state.labelled_clicks) == (
        (0,) * 4
    )


def test_runs_without_such_images_do_not_name_them():
    assert "unlabelled_validation" not in run_created().payload()
    assert folded(run_created()).validation is None
    again = Event(sequence=0, kind="run_created", time="", data=CREATED.payload()).record
    assert isinstance(again, RunCreated) and again.unlabelled_validation.num_images == 3


@pytest.mark.parametrize(
    "events",
    [
        (run_created(), REQUESTED),
        (run_created(), received(1)),
        (run_created(), CLOSED),
        (CREATED, REQUESTED, received(4)),
        (CREATED, REQUESTED, received(3), CLOSED),
        (CREATED, CLOSED, received(1)),
        (CREATED, CLOSED, CLOSED),
        (CREATED, REQUESTED, received(3), cycle_trained(-1, metrics={})),
    ],
)
def test_events_that_do_not_fit_are_refused(events):
    with pytest.raises(StorageError, match="does not fit the events before it"):
        folded(*events)
