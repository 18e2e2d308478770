"""What another strategy would have chosen from the scores that a run stored, cycle by cycle, without training."""

import io
from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np
import pyarrow as pa
from PIL import Image

from ray_al.core.config import RunConfig, apply_setting, parse_config, parse_override
from ray_al.core.errors import ConfigError
from ray_al.core.storage import Storage
from ray_al.core.strategy import SCORE_SETTINGS
from ray_al.core.types import FileRef
from ray_al.datasets import open_dataset
from ray_al.driver.check_strategy import check_scores
from ray_al.driver.choose import choose_query
from ray_al.driver.context import Context
from ray_al.driver.pool import read_table
from ray_al.ledger import Journal, State, fold
from ray_al.ledger.config import read_config
from ray_al.ledger.records import QuerySelected, Record
from ray_al.score.functions import find_acquisition, list_acquisitions
from ray_al.score.region_scores import RANDOM_SCORES
from ray_al.select.noise import uniform_rows

Name = tuple[str, int]
MANY = 2**31
"""Regions: more than any query holds."""

CHOICE = ("score", "batch", "per_image", "min_distance", "skip_void_by_ground_truth")
"""Keys of `strategy` that are read when a query is chosen from scores. Every other key, one that a later version adds included, may have
changed the stored scores themselves, so replay refuses it."""


class _Replay(Context):
    """Chooses as a driver would, from what stands in the ledger; random scores are drawn in place of stored ones."""

    opens_images = False

    def __init__(self, storage: Storage, config: RunConfig, state: State, cycle: int) -> None:
        super().__init__(
            storage,
            config,
            state,
            lambda kind, data: state,
            lambda stage, done, total: None,
            lambda: False,
        )
        self.cycle = cycle

    def read_scores(self, ref: FileRef) -> pa.Table:
        part = super().read_scores(ref)
        return self._random(part) if self.config.strategy.score == "random" else part

    def _random(self, part: pa.Table) -> pa.Table:
        scores = uniform_rows(part, RANDOM_SCORES, self.config.seed, self.cycle).astype(np.float32)
        return part.set_column(part.schema.get_field_index("score"), "score", pa.array(scores))


def replayable(stored: str) -> dict[str, list[str]]:
    """Acquisition functions whose scores a run with `stored` holds, or that need none, and those that it does not hold."""
    names = [row["name"] for row in list_acquisitions()]
    return {
        "stored": [name for name in names if name in (stored, "random")],
        "not_stored": [name for name in names if name not in (stored, "random")],
    }


def replay(run_uri: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Choose again in every cycle that has scores, with the budget that the run's own query had and from the regions it had left.

    Each cycle stands alone: what a different query would have changed afterwards is not in it. Class shares are of those chosen
    regions that the run labelled at any time (`known` is their share): the ground truth of others stays closed.

    Raises:
        ConfigError: a key outside `strategy`, or a function or rule that needs what was not stored.
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
    classes = _class_pixels(storage, state)
    cycles = []
    before = State()
    for event in events:
        record = event.record
        if _is_replayable(record, state):
            actual = read_table(storage, record.query)
            context = _Replay(storage, other, before, record.cycle)
            chosen = choose_query(context, record.cycle, sum(actual.column("cost").to_pylist()))
            cycles.append(_compare(record.cycle, chosen, actual, classes, state))
        before = fold([event], before)
    return {
        "run": storage.root,
        "strategy": other.strategy.model_dump(mode="json"),
        "before": config.strategy.model_dump(mode="json"),
        "class_names": list(state.created.class_names),
        "functions": replayable(config.strategy.score),
        "cycles": cycles,
    }


def _compare(
    cycle: int, chosen: pa.Table, actual: pa.Table, classes: dict[Name, np.ndarray], state: State
) -> dict[str, Any]:
    names, before = _names(chosen), _names(actual)
    return {
        "cycle": cycle,
        "regions": len(names),
        "pixels": sum(chosen.column("num_pixels").to_pylist()),
        "images": len({image_id for image_id, _ in names}),
        "overlap": len(names & before) / max(1, len(before)),
        "known": len(names & classes.keys()) / max(1, len(names)),
        "class_shares": _shares(classes, names, state),
        "class_shares_before": _shares(classes, before, state),
    }


def _is_replayable(record: Record, state: State) -> TypeGuard[QuerySelected]:
    """Return whether the record is a query of a cycle whose scores are stored."""
    return isinstance(record, QuerySelected) and record.cycle in state.scores and record.cycle >= 0


def _other_config(
    config: RunConfig, state: State, overrides: Sequence[str], cycles: set[int]
) -> RunConfig:
    """The run's configuration with another way to choose; lazy scoring, which chooses no region, is left out."""
    values = config.model_dump(mode="json")
    for override in overrides:
        keys, value = parse_override(override)
        if keys[0] != "strategy":
            raise ConfigError(
                f"--set {override}: replay trains nothing, so it can change keys of `strategy` alone"
            )
        apply_setting(values, ".".join(keys), value)
    other = parse_config(values, source="replay")
    _check_only_choice_changed(config, other)
    other = other.model_copy(update={"strategy": other.strategy.model_copy(update={"lazy": None})})
    check_scores(other, find_acquisition(other.strategy.score))
    _check_features(config, other, state, cycles)
    if other.strategy.skip_void_by_ground_truth and None in [
        image.mask_uri for image in open_dataset(config.data).splits["train"]
    ]:
        raise ConfigError(
            "strategy.skip_void_by_ground_truth: it reads ground truth that this pool does not have; set it to false"
        )
    return other


def _check_only_choice_changed(config: RunConfig, other: RunConfig) -> None:
    before, after = config.strategy.model_dump(mode="json"), other.strategy.model_dump(mode="json")
    score = other.strategy.score
    if score not in (config.strategy.score, "random"):
        stored = replayable(config.strategy.score)
        raise ConfigError(
            f"strategy.score={score!r} needs what this run did not store: it scored with {config.strategy.score!r}; "
            f"replay {' or '.join(stored['stored'])}, or run {score!r}"
        )
    changed = [
        key
        for key in after
        if after[key] != before[key]
        and key not in CHOICE
        and score in SCORE_SETTINGS.get(key, score)
    ]
    if changed:
        raise ConfigError(
            f"strategy.{changed[0]}={after[changed[0]]!r}: the stored scores were made with {before[changed[0]]!r}, and replay scores nothing "
            f"anew; leave it as it is (replay can change {', '.join(CHOICE)}), or start a run with it"
        )


def _check_features(config: RunConfig, other: RunConfig, state: State, cycles: set[int]) -> None:
    """A rule on features chooses from the candidates whose features the run stored, in every cycle that is replayed."""
    batch, stored = other.strategy.batch, config.strategy.batch
    rule = f"strategy.batch.kind={batch.kind!r}"
    if batch.reads_covers and not stored.reads_covers:
        raise ConfigError(
            f"{rule} needs the classes that cover each region, which this run did not store; run it"
        )
    if not batch.reads_features:
        return
    if other.strategy.score != config.strategy.score or not cycles <= state.extracted.keys():
        raise ConfigError(
            f"{rule} needs features of the best candidates, which this run did not store; run it"
        )
    most, known = batch.num_candidates(MANY), stored.num_candidates(MANY)
    if _exceeds(most, known):
        raise ConfigError(
            f"strategy.batch.candidates={most}: this run stored features of the best {known} candidates of a cycle; give at most {known}"
        )
    if _exceeds(batch.num_candidates(1), few := stored.num_candidates(1)):
        raise ConfigError(
            f"{rule}: it looks at more candidates, this run stored features of {few} times as many as a query holds; run it"
        )


def _exceeds(most: int | None, known: int | None) -> bool:
    """Whether a rule looks at more candidates than another; None stands for all."""
    return known is not None and (most is None or most > known)


def _names(table: pa.Table) -> set[Name]:
    return set(
        zip(table.column("image_id").to_pylist(), table.column("region").to_pylist(), strict=True)
    )


def _class_pixels(storage: Storage, state: State) -> dict[Name, np.ndarray]:
    """Pixels of each class (shape (num_classes,)) of every labelled region."""
    num_classes, counts = len(state.created.class_names), {}
    for ref in state.label_parts:
        for row in read_table(storage, ref, ["image_id", "region", "mask", "classes"]).to_pylist():
            if row["classes"] is not None:
                continue  # what its pixels are, nobody said
            mask = np.asarray(Image.open(io.BytesIO(row["mask"])))
            counts[row["image_id"], row["region"]] = np.bincount(mask.ravel(), minlength=256)[
                :num_classes
            ]
    return counts


def _shares(classes: dict[Name, np.ndarray], names: set[Name], state: State) -> list[float]:
    total = sum(
        (classes[name] for name in names if name in classes),
        np.zeros(len(state.created.class_names), dtype=np.int64),
    )
    return [float(share) for share in total / max(1, int(total.sum()))]


def replay_text(facts: dict[str, Any]) -> str:
    """The table for people."""
    lines = [
        f"{'cycle':>5s} {'regions':>8s} {'pixels':>10s} {'images':>7s} {'overlap':>8s} {'known':>7s}  largest changes of class shares"
    ]
    for row in facts["cycles"]:
        changes = np.subtract(row["class_shares"], row["class_shares_before"])
        largest = sorted(range(len(changes)), key=lambda index: -abs(changes[index]))[:3]
        shown = ", ".join(
            f"{facts['class_names'][index]} {100 * changes[index]:+.1f} %" for index in largest
        )
        numbers = f"{row['cycle']:5d} {row['regions']:8d} {row['pixels']:10d} {row['images']:7d} {row['overlap']:8.3f} {row['known']:7.3f}"
        lines.append(f"{numbers}  {shown}")
    missing = ", ".join(facts["functions"]["not_stored"])
    return "\n".join([*lines, f"functions whose scores this run did not store: {missing}"])
