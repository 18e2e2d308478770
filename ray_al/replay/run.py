"""Choose again from the stored scores of a run."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeGuard

import numpy as np
import pyarrow as pa
from PIL import Image

from ray_al.acquisition import find_acquisition
from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.driver.context import Context
from ray_al.driver.pool import read_table
from ray_al.driver.select_query import select_query
from ray_al.ledger import Event, Journal, Ledger, State, fold
from ray_al.ledger.config import read_config
from ray_al.ledger.records import QuerySelected, Record
from ray_al.replay.replayed import Replayed, ReplayedCycle
from ray_al.replay.settings import other_config, replayable
from ray_al.scoring.region_scores import RANDOM_SCORES
from ray_al.select.noise import uniform_rows

Name = tuple[str, int]
"""A region: its image and its number."""
MASK_VALUES = 256


def _record_nothing(record: Record) -> Event:
    raise AssertionError(f"a replay records nothing, and not {record}")


class _Replay(Context):
    """Chooses as a driver would, from the journal; random scores are drawn, not read."""

    opens_images = False

    def __init__(self, storage: Storage, config: RunConfig, state: State, cycle: int) -> None:
        super().__init__(
            storage,
            config,
            Ledger(state, _record_nothing),
            lambda stage, done, total: None,
            lambda: False,
        )
        self.cycle = cycle

    def read_scores(self, ref: FileRef) -> pa.Table:
        """Return a part of the scores from which the other strategy chooses."""
        part = super().read_scores(ref)
        function = find_acquisition(self.config.strategy.acquisition)
        return part if function.needs_model else self._random(part)

    def _random(self, part: pa.Table) -> pa.Table:
        scores = uniform_rows(part, RANDOM_SCORES, self.config.seed, self.cycle).astype(np.float32)
        return part.set_column(part.schema.get_field_index("score"), "score", pa.array(scores))


def replay(run_uri: str, overrides: Sequence[str]) -> Replayed:
    """Choose again in every cycle that has scores.

    A cycle has the budget of the run's own query, and the regions that the run had left. What a
    different query would have changed in later cycles is not included. Class shares are those of
    the chosen regions that the run labelled at any time: the ground truth of others stays closed.

    Args:
        overrides: `key=value` texts with keys of `strategy`.

    Raises:
        ConfigError: a key is outside `strategy`, or a function or rule needs more than was stored.
    """
    storage = Storage(run_uri)
    events = Journal(storage).events
    config = read_config(storage, events)
    state = fold(events)
    replayed = {event.record.cycle for event in events if _is_replayable(event.record, state)}
    if not replayed:
        raise ConfigError(
            f"{run_uri}: no cycle has stored scores and a query; replay a run that has come further"
        )
    other = other_config(config, state, overrides, replayed)
    return Replayed(
        run=storage.root,
        strategy=other.strategy.model_dump(mode="json"),
        before=config.strategy.model_dump(mode="json"),
        class_names=state.created.class_names,
        functions=replayable(config.strategy.acquisition),
        cycles=tuple(_cycles(storage, other, events, state)),
    )


def _cycles(
    storage: Storage, other: RunConfig, events: Sequence[Event], state: State
) -> Iterator[ReplayedCycle]:
    """Choose again at each query of the journal, from the state before it.

    Args:
        state: of the whole run.
    """
    classes, names = _class_pixels(storage, state), state.created.class_names
    before = State()
    for event in events:
        record = event.record
        if _is_replayable(record, state):
            cycle = record.cycle
            actual = read_table(storage, record.query)
            budget = sum(actual.column("cost").to_pylist())
            created = replace(before.created, class_names=names, colors=state.created.colors)
            then = _Replay(storage, other, replace(before, created=created), cycle)
            chosen = select_query(then, cycle, budget)
            yield _compare(cycle, chosen, actual, classes, state)
        before = fold([event], before)


def _compare(
    cycle: int, chosen: pa.Table, actual: pa.Table, classes: dict[Name, np.ndarray], state: State
) -> ReplayedCycle:
    names, before = _names(chosen), _names(actual)
    return ReplayedCycle(
        cycle=cycle,
        regions=len(names),
        pixels=sum(chosen.column("num_pixels").to_pylist()),
        images=len({image_id for image_id, _ in names}),
        overlap=len(names & before) / max(1, len(before)),
        known=len(names & classes.keys()) / max(1, len(names)),
        class_shares=_shares(classes, names, state),
        class_shares_before=_shares(classes, before, state),
    )


def _is_replayable(record: Record, state: State) -> TypeGuard[QuerySelected]:
    """Return whether the record is a query of a cycle whose scores are stored."""
    return isinstance(record, QuerySelected) and record.cycle in state.scores and record.cycle >= 0


def _names(table: pa.Table) -> set[Name]:
    return set(
        zip(table.column("image_id").to_pylist(), table.column("region").to_pylist(), strict=True)
    )


def _class_pixels(storage: Storage, state: State) -> dict[Name, np.ndarray]:
    """Return the pixels of each class, shape (num_classes,), in every labelled region."""
    num_classes = len(state.created.class_names)
    counts: dict[Name, np.ndarray] = {}
    for ref in state.label_parts:
        for row in read_table(storage, ref, ["image_id", "region", "mask", "classes"]).to_pylist():
            if row["classes"] is not None:
                continue  # the label names classes, not the class of each pixel
            mask = np.asarray(Image.open(io.BytesIO(row["mask"])))
            pixels = np.bincount(mask.ravel(), minlength=MASK_VALUES)[:num_classes]
            counts[row["image_id"], row["region"]] = pixels
    return counts


def _shares(classes: dict[Name, np.ndarray], names: set[Name], state: State) -> tuple[float, ...]:
    total = sum(
        (classes[name] for name in names if name in classes),
        np.zeros(len(state.created.class_names), dtype=np.int64),
    )
    return tuple(float(share) for share in total / max(1, int(total.sum())))
