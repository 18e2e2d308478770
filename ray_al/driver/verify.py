"""Check that journal, queries, scores, labels, budget and files agree, up to the first fault."""

import math
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from ray_al.acquisition import find_acquisition
from ray_al.core.arrays import is_among
from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError, StorageError, VerifyError
from ray_al.core.run_dir import KEPT_FILES, RunDir
from ray_al.core.storage import Storage
from ray_al.driver.measured import summary
from ray_al.driver.pool import Pool, read_table
from ray_al.driver.verify_validation import check_validation_labels
from ray_al.ledger import Event, Journal, State, fold
from ray_al.ledger.config import Configured, config_facts, read_config
from ray_al.ledger.events import file_refs, is_superseded
from ray_al.ledger.records import (
    CycleTrained,
    ImagesRestored,
    LeftOut,
    ModelMeasured,
    ModelsMeasured,
    QuerySelected,
    RunExtended,
)
from ray_al.report.left_out import labels_left_out


def verify(run_uri: str) -> dict[str, Any]:
    """Read the whole run and return the counts of events, files, labelled regions and spent units.

    Raises:
        VerifyError: naming the first fault.
    """
    storage = Storage(run_uri)
    try:
        events = Journal(storage).events
        num_files = sum(_check_event_files(storage, event, events) for event in events)
        state = _check_budget(events)
        _check_manifests(storage, events)
        _check_quarantine(storage, events)
        _check_measured(events)
        _check_queries(storage, state, read_config(storage, events))
        _check_labels(storage, state)
        check_validation_labels(storage, state)
    except (StorageError, ConfigError) as error:
        raise VerifyError(str(error)) from None
    return {
        "events": len(events),
        "files": num_files,
        "labelled_regions": state.labelled_regions,
        "spent": state.spent,
    }


def _check_event_files(storage: Storage, event: Event, events: list[Event]) -> int:
    """Read the files of an event, compare their digests, and return their number."""
    num_files = 0
    record = event.record
    if (
        isinstance(record, Configured)
        and record.config_yaml is not None
        and config_facts(record.config_yaml)["config"] != record.config
    ):
        raise VerifyError(
            f"journal event {event.sequence} ({event.kind}): its configuration is not the one that "
            "its digest names"
        )
    for ref in file_refs(event.data):
        # Later events may have changed the configuration; `read_config` compares it with the last.
        if ref.path == RunDir.CONFIG:
            storage.read(RunDir.CONFIG)
            num_files += 1
            continue
        stays = PurePosixPath(ref.path).name in KEPT_FILES
        if not stays and is_superseded(event, events) and not storage.exists(ref.path):
            continue
        storage.read_ref(ref)
        num_files += 1
    return num_files


def _check_budget(events: list[Event]) -> State:
    """Check after each event that the budget is kept; return the state after all events."""
    state = State()
    for event in events:
        state = fold([event], state)
        if state.spent + state.reserved > state.amount or min(state.spent, state.reserved) < 0:
            raise VerifyError(
                f"journal event {event.sequence} ({event.kind}): spent {state.spent} + reserved "
                f"{state.reserved} of a budget of {state.amount} {state.created.unit}"
            )
    return state


def _check_manifests(storage: Storage, events: list[Event]) -> None:
    """Check that an extension kept the numbers of all images and regions, and counted the new."""
    state = State()
    for event in events:
        record = event.record
        if isinstance(record, RunExtended) and record.manifest is not None:
            names = ["image_index", "image_id", "height", "width", "num_regions"]
            before, after = (
                read_table(storage, ref, names) for ref in (state.created.manifest, record.manifest)
            )
            if after.slice(0, len(before)) != before or len(after) != record.num_images:
                raise VerifyError(
                    f"journal event {event.sequence} ({event.kind}): its manifest does not begin "
                    f"with the {len(before)} images of the one before, or does not have "
                    f"{record.num_images}"
                )
        state = fold([event], state)


def _check_quarantine(storage: Storage, events: list[Event]) -> None:
    """Check that no quarantined image is queried, and that trainings left out just the quarantined.

    Only quarantined images may come back.
    """
    state = State()
    for event in events:
        where = f"journal event {event.sequence} ({event.kind})"
        record = event.record
        if isinstance(record, ImagesRestored) and (
            unknown := sorted(set(record.images) - state.quarantined.keys())
        ):
            raise VerifyError(f"{where}: {unknown[0]} comes back, and was not quarantined")
        if isinstance(record, QuerySelected) and state.quarantined:
            names = read_table(storage, record.query, ["image_id"]).column("image_id").to_pylist()
            if chosen := sorted(state.quarantined.keys() & set(names)):
                raise VerifyError(f"{where}: {chosen[0]} is chosen, and was quarantined before")
        # Earlier versions did not write `left_out`.
        if isinstance(record, CycleTrained | ModelMeasured) and record.left_out is not None:
            lost = labels_left_out(storage, state)
            expected = LeftOut(images=len(lost), regions=sum(lost.values()))
            if record.left_out != expected:
                raise VerifyError(
                    f"{where}: left out {asdict(record.left_out)}, labels of quarantined images "
                    f"are {asdict(expected)}"
                )
        state = fold([event], state)


def _check_measured(events: list[Event]) -> None:
    """Check that summaries follow from the measured models, at budgets within the run's."""
    state = State()
    for event in events:
        record = event.record
        if isinstance(record, ModelsMeasured):
            where = f"journal event {event.sequence} ({event.kind})"
            models = summary(record.mious)
            expected = {"miou": models.miou, "spread": models.spread}
            recorded = {"miou": record.miou, "spread": record.spread}
            if not all(_is_close(recorded[key], expected[key]) for key in recorded):
                raise VerifyError(f"{where}: says {recorded}, of its models follows {expected}")
            if not 0 < record.budget <= state.amount:
                raise VerifyError(
                    f"{where}: was measured at {record.budget} of a budget of "
                    f"{state.amount} {state.created.unit}"
                )
        state = fold([event], state)


def _is_close(recorded: float | None, expected: float | None) -> bool:
    """Return whether two numbers agree; other versions of numpy sum in another order."""
    if recorded is None or expected is None:
        return recorded is expected
    return math.isclose(recorded, expected, rel_tol=1e-9, abs_tol=1e-12)


def _check_queries(storage: Storage, state: State, config: RunConfig) -> None:
    """Check the size and cost of each query, and that no region is queried twice."""
    pool = Pool(storage, State(created=state.created, map_parts=state.map_parts), config)
    for query in state.queries:
        table = read_table(storage, query.file)
        if len(table) != query.num_regions or sum(table.column("cost").to_pylist()) != query.cost:
            raise VerifyError(
                f"{storage.uri(query.file.path)}: {len(table)} regions, the journal says "
                f"{query.num_regions} costing {query.cost}"
            )
        if pool.is_chosen(table).any() or len(np.unique(pool.numbers(table))) != len(table):
            raise VerifyError(f"{storage.uri(query.file.path)}: a region was chosen twice")
        pool.mark_queried(table)
        strategy = config.strategy_at(query.cycle)
        finished_later = (
            strategy.label_time is not None
            or find_acquisition(strategy.acquisition).attribution != "none"
        )
        _check_scores(storage, state, pool, query.cycle, table, finished_later=finished_later)


def _check_scores(
    storage: Storage,
    state: State,
    pool: Pool,
    cycle: int,
    query: pa.Table,
    *,
    finished_later: bool,
) -> None:
    """Check that the scores of the cycle list every queried region, with the score of the query.

    Args:
        finished_later: the stored scores are completed only when the query is chosen, as for
            functions that look at the classes of the whole pool, or by the time of labels; they are
            not compared then.
    """
    scores: dict[tuple[str, int], float] = {}
    wanted = np.sort(pool.numbers(query))
    for ref in state.scores.get(cycle, {}).values():
        if ref is not None:
            rows = read_table(storage, ref, ["image_index", "image_id", "region", "score"])
            part = rows.filter(pa.array(is_among(pool.numbers(rows), wanted))).to_pydict()
            names = zip(part["image_id"], part["region"], strict=True)
            scores.update(zip(names, part["score"], strict=True))
    if not any(state.scores.get(cycle, {}).values()):
        return
    for row in query.select(["image_id", "region", "score"]).to_pylist():
        known = scores.get((row["image_id"], row["region"]))
        if known is None or (known != row["score"] and not finished_later):
            raise VerifyError(
                f"query of cycle {cycle}: {row['image_id']} region {row['region']} has score "
                f"{row['score']}, which no score part holds"
            )


def _check_labels(storage: Storage, state: State) -> None:
    """Check that every labelled region was queried, and labelled once."""
    queried: set[tuple[str, int]] = set()
    for query in state.queries:
        table = read_table(storage, query.file, ["image_id", "region"]).to_pydict()
        queried.update(zip(table["image_id"], table["region"], strict=True))
    labelled: set[tuple[str, int]] = set()
    for ref in state.label_parts:
        table = read_table(storage, ref, ["image_id", "region"]).to_pydict()
        for name in zip(table["image_id"], table["region"], strict=True):
            if name in labelled or name not in queried:
                fault = "labelled twice" if name in labelled else "never queried"
                raise VerifyError(
                    f"{storage.uri(ref.path)}: {name[0]} region {name[1]} was {fault}"
                )
            labelled.add(name)
    if len(labelled) != state.labelled_regions:
        raise VerifyError(
            f"label parts hold {len(labelled)} regions, the journal says {state.labelled_regions}"
        )
