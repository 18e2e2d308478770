"""Properties of the journal and of its fold, over made-up histories."""

import secrets
from collections.abc import Iterator

from helpers.records import record
from hypothesis import given, settings
from hypothesis import strategies as st

from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.ledger import Event, Journal, State, fold

FEW = settings(max_examples=15, deadline=None, derandomize=True)
FILE = FileRef.of("a file", b"its content").as_dict()
Fact = tuple[str, dict[str, object]]


def created(amount: int) -> Fact:
    return "run_created", {
        "name": "made up", "manifest": FILE, "config": FILE, "num_images": 5, "num_regions": 50,
        "num_pixels": 5000, "unit": "regions", "amount": amount,
    }  # fmt: skip


def selected(cycle: int, cost: int) -> Fact:
    return "query_selected", {
        "cycle": cycle, "query": FILE, "num_regions": cost, "num_pixels": 100 * cost, "cost": cost,
        "seconds": 0.5,
    }  # fmt: skip


def received(cycle: int, cost: int) -> Fact:
    return "labels_received", {
        "cycle": cycle, "part": FILE if cost else None, "num_regions": cost, "seconds": 0.5,
        "num_pixels": 100 * cost, "cost": cost, "refused": [], "term": 1,
    }  # fmt: skip


def closed(cycle: int, rest: int) -> Fact:
    return "query_closed", {"cycle": cycle, "num_unanswered": rest, "refunded": rest}


@st.composite
def histories(draw: st.DrawFn) -> list[Fact]:
    """Facts of a run whose queries cost no more than what remains, each with some deliveries."""
    remaining = draw(st.integers(1, 40))
    facts: list[Fact] = [created(remaining)]
    for cycle in range(-1, draw(st.integers(-1, 3))):
        if remaining == 0:
            break
        reserved = draw(st.integers(1, remaining))
        facts.append(selected(cycle, reserved))
        for _ in range(draw(st.integers(0, 3))):
            delivered = draw(st.integers(0, reserved))
            facts.append(received(cycle, delivered))
            reserved -= delivered
            remaining -= delivered
        facts.append(closed(cycle, reserved))
    facts += [("run_finished", {"reason": draw(st.text(max_size=20))})] * draw(st.integers(0, 1))
    return facts


def events_of(facts: list[Fact]) -> list[Event]:
    return [
        Event(sequence=number, kind=kind, time="2030-01-01T00:00:00.000+00:00", data=data)
        for number, (kind, data) in enumerate(facts)
    ]


def states_of(events: list[Event]) -> Iterator[State]:
    """The state after each event, folded from the first one on."""
    return (fold(events[:stop]) for stop in range(1, len(events) + 1))


@given(histories())
@FEW
def test_every_prefix_folds_and_one_event_at_a_time_gives_the_same_states(facts):
    events = events_of(facts)
    state = State()
    for event, whole in zip(events, states_of(events), strict=True):
        state = fold([event], state)
        assert state == whole


@given(histories())
@FEW
def test_a_budget_is_never_exceeded_and_nothing_negative_is_reserved(facts):
    before = 0
    for state in states_of(events_of(facts)):
        assert state.reserved >= 0 and state.remaining >= 0
        assert state.spent + state.reserved <= state.amount
        assert state.spent >= before
        before = state.spent


@given(histories())
@FEW
def test_events_are_read_back_as_they_were_written(facts):
    for event in events_of(facts):
        assert Event.from_bytes(event.to_bytes(), source="made up") == event


@given(histories(), st.data())
@FEW
def test_a_journal_is_read_back_and_so_is_each_of_its_prefixes(facts, data):
    storage = Storage(f"memory://properties-{secrets.token_hex(8)}")
    journal = Journal(storage)
    for kind, values in facts:
        journal.append(record(kind, **values))
    assert Journal(storage).events == journal.events
    kept = data.draw(st.integers(1, len(facts)))
    for number in range(kept, len(facts)):
        storage.remove(f"journal/{number:08d}.json")
    prefix = Journal(storage).events
    assert prefix == journal.events[:kept]
    assert fold(prefix).updated_at == prefix[-1].time
    storage.remove("journal")
