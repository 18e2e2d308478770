"""Replay a run with another strategy: choose again from its stored scores, without training."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeGuard

import numpy as np
import pyarrow as pa
from PIL import Image

from ray_al.acquisition import ACQUISITIONS, find_acquisition
from ray_al.acquisition.acquisition import Acquisition
from ray_al.core.config import RunConfig, apply_setting, parse_config, parse_override
from ray_al.core.errors import ConfigError
from ray_al.core.families.acquisition import ACQUISITION_SETTINGS
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.datasets import open_dataset
from ray_al.driver.check_strategy import check_scores
from ray_al.driver.context import Context
from ray_al.driver.pool import read_table
from ray_al.driver.select_query import select_query
from ray_al.ledger import Event, Journal, Ledger, State, fold
from ray_al.ledger.config import read_config
from ray_al.ledger.records import QuerySelected, Record
from ray_al.scoring.region_scores import RANDOM_SCORES
from ray_al.select.noise import uniform_rows

Name = tuple[str, int]
"""A region: its image and its number."""
MANY = 2**31
"""Regions: more than any query holds."""
MASK_VALUES = 256
MAX_CHANGES = 3
"""Classes whose change is shown in a row."""

CHOICE = ("acquisition", "batch", "per_image", "min_distance", "skip_void_by_ground_truth")
"""Keys of `strategy` that are read when a query is chosen from scores. Every other key, also one
that a later version adds, may have changed the stored scores themselves, so replay refuses it."""


@dataclass(frozen=True, kw_only=True)
class ReplayedCycle:
    """The query of one cycle, chosen again.

    Attributes:
        overlap: share of the run's own query that is chosen again.
        known: share of the chosen regions that the run labelled at any time.
        class_shares: of the pixels of those regions; `class_shares_before` is the run's own.
    """

    cycle: int
    regions: int
    pixels: int
    images: int
    overlap: float
    known: float
    class_shares: tuple[float, ...]
    class_shares_before: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Functions:
    """Acquisition functions by whether the run holds what they need."""

    stored: tuple[str, ...]
    not_stored: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """A run replayed with another strategy.

    Attributes:
        strategy: the other strategy; `before` is the run's own.
    """

    run: str
    strategy: Mapping[str, Any]
    before: Mapping[str, Any]
    class_names: tuple[str, ...]
    functions: Functions
    cycles: tuple[ReplayedCycle, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the facts as plain values for JSON."""
        return asdict(self)


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


def replayable(stored: str) -> Functions:
    """Return the functions that can be replayed in a run that scored with `stored`.

    These are that function, and functions that need no model.
    """
    held = [name for name, function in ACQUISITIONS.items() if _is_held(name, function, stored)]
    others = [name for name in ACQUISITIONS if name not in held]
    return Functions(stored=tuple(held), not_stored=tuple(others))


def _is_held(name: str, function: Acquisition, stored: str) -> bool:
    return name == stored or not function.needs_model


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
    other = _other_config(config, state, overrides, replayed)
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


def _other_config(
    config: RunConfig, state: State, overrides: Sequence[str], cycles: set[int]
) -> RunConfig:
    """Return the run's configuration with another way to choose.

    Lazy scoring, which chooses no region, is left out.
    """
    values = config.model_dump(mode="json")
    for override in overrides:
        keys, value = parse_override(override)
        if keys[0] != "strategy":
            raise ConfigError(
                f"--set {override}: replay trains nothing, so it can change keys of `strategy` only"
            )
        apply_setting(values, ".".join(keys), value)
    other = parse_config(values, source="replay")
    _check_only_choice_changed(config, other)
    other = other.model_copy(update={"strategy": other.strategy.model_copy(update={"lazy": None})})
    check_scores(other, find_acquisition(other.strategy.acquisition))
    _check_features(config, other, state, cycles)
    if other.strategy.skip_void_by_ground_truth and None in [
        image.mask_uri
        for image in open_dataset(config.data, asks_people=config.label.validation).splits["train"]
    ]:
        raise ConfigError(
            "strategy.skip_void_by_ground_truth: it reads ground truth that this pool does not "
            "have; set it to false"
        )
    return other


def _check_only_choice_changed(config: RunConfig, other: RunConfig) -> None:
    before, after = config.strategy.model_dump(mode="json"), other.strategy.model_dump(mode="json")
    score = other.strategy.acquisition
    if not _is_held(score, find_acquisition(score), config.strategy.acquisition):
        held = " or ".join(replayable(config.strategy.acquisition).stored)
        raise ConfigError(
            f"strategy.acquisition={score!r} needs what this run did not store: it scored with "
            f"{config.strategy.acquisition!r}; replay {held}, or run {score!r}"
        )
    changed = [
        key
        for key in after
        if after[key] != before[key]
        and key not in CHOICE
        and score in ACQUISITION_SETTINGS.get(key, score)
    ]
    if changed:
        raise ConfigError(
            f"strategy.{changed[0]}={after[changed[0]]!r}: the stored scores were made with "
            f"{before[changed[0]]!r}, and replay scores nothing anew; leave it as it is "
            f"(replay can change {', '.join(CHOICE)}), or start a run with it"
        )


def _check_features(config: RunConfig, other: RunConfig, state: State, cycles: set[int]) -> None:
    """Refuse a rule that reads features, or class covers, which the run did not store.

    Args:
        cycles: that are replayed.
    """
    batch, stored = other.strategy.batch, config.strategy.batch
    rule = f"strategy.batch.kind={batch.kind!r}"
    if batch.reads_covers and not stored.reads_covers:
        raise ConfigError(
            f"{rule} needs the classes that cover each region, which this run did not store; run it"
        )
    if not batch.reads_features:
        return
    if (
        other.strategy.acquisition != config.strategy.acquisition
        or not cycles <= state.extracted.keys()
    ):
        raise ConfigError(
            f"{rule} needs features of the best candidates, which this run did not store; run it"
        )
    most, known = batch.num_candidates(MANY), stored.num_candidates(MANY)
    if _exceeds(most, known):
        raise ConfigError(
            f"strategy.batch.candidates={most}: this run stored features of the best {known} "
            f"candidates of a cycle; give at most {known}"
        )
    if _exceeds(batch.num_candidates(1), few := stored.num_candidates(1)):
        raise ConfigError(
            f"{rule}: it looks at more candidates, this run stored features of {few} times as many "
            "as a query holds; run it"
        )


def _exceeds(most: int | None, known: int | None) -> bool:
    """Return whether a rule looks at more candidates than another; None stands for all."""
    return known is not None and (most is None or most > known)


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


def replay_text(replayed: Replayed) -> str:
    """Return the cycles as a table for people."""
    head = f"{'cycle':>5s} {'regions':>8s} {'pixels':>10s} {'images':>7s} {'overlap':>8s}"
    lines = [f"{head} {'known':>7s}  largest changes of class shares"]
    lines += [_cycle_text(cycle, replayed.class_names) for cycle in replayed.cycles]
    missing = ", ".join(replayed.functions.not_stored)
    return "\n".join([*lines, f"functions whose scores this run did not store: {missing}"])


def _cycle_text(cycle: ReplayedCycle, class_names: Sequence[str]) -> str:
    changes = np.subtract(cycle.class_shares, cycle.class_shares_before)
    largest = sorted(range(len(changes)), key=lambda index: -abs(changes[index]))[:MAX_CHANGES]
    shown = ", ".join(f"{class_names[index]} {100 * changes[index]:+.1f} %" for index in largest)
    return (
        f"{cycle.cycle:5d} {cycle.regions:8d} {cycle.pixels:10d} {cycle.images:7d} "
        f"{cycle.overlap:8.3f} {cycle.known:7.3f}  {shown}"
    )
