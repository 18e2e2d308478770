"""The rows of `curve.csv`, from the state of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ray_al.core.families.units import UNITS
from ray_al.core.run_dir import RunDir
from ray_al.core.storage import Storage
from ray_al.ledger import Query, State
from ray_al.ledger.records import CycleTrained, Labelled
from ray_al.report.curve import curve_csv

Row = dict[str, Any]
"""One cycle by column. Some columns are named after the classes of the data set; a value that is
not known is None."""


def curve_rows(state: State) -> list[Row]:
    """Return one row per trained cycle.

    The keys are the columns of `curve.csv`, and `labelled_visits`: how often an image was opened.
    Without validation images the metrics are None.
    """
    queries: dict[int, list[Query]] = {}
    for query in state.queries:
        queries.setdefault(query.cycle, []).append(query)
    rows = []
    for model in state.cycles:
        chosen, answered = (queries.get(cycle, []) for cycle in (model.cycle, model.cycle - 1))
        rows.append(_curve_row(state, model, _stage_seconds(state, model, chosen, answered)))
    return rows


def _curve_row(state: State, model: CycleTrained, seconds: Mapping[str, float | None]) -> Row:
    labelled, metrics = model.labelled, model.val
    scored, measured = state.scored.get(model.cycle), state.measured.get(model.cycle)
    names = state.created.class_names
    return {
        "cycle": model.cycle,
        "labelled_regions": labelled.regions,
        "labelled_pixels": labelled.pixels,
        "labelled_images": labelled.images,
        "labelled_clicks": labelled.clicks,
        "labelled_visits": labelled.visits,
        "labelled_fraction": _fraction(labelled, state, model.cycle),
        "cost": labelled.cost,
        "miou": metrics.miou if metrics else None,
        "pixel_accuracy": metrics.pixel_accuracy if metrics else None,
        **_iou_columns(names, metrics.iou if metrics else [None] * len(names)),
        **seconds,
        "cycle_seconds": sum(value or 0.0 for value in seconds.values()),
        "images_per_second": scored.num_images / scored.seconds
        if scored and scored.seconds
        else None,
        "final_miou": measured.miou if measured else None,
        "final_spread": measured.spread if measured else None,
        "measure_seconds": measured.seconds if measured else None,
        **_extra(state, model),
    }


def _extra(state: State, model: CycleTrained) -> Row:
    """Return the columns that only some runs have: those of `EXTRA_COLUMNS`."""
    extra: Row = {}
    if not state.created.has_validation:
        extra["train_loss"] = model.last_loss
    if model.kept_step is not None:
        extra["kept_step"] = model.kept_step
    return extra


def _stage_seconds(
    state: State, model: CycleTrained, chosen: Sequence[Query], answered: Sequence[Query]
) -> dict[str, float | None]:
    """Return how long each stage of a cycle took; None for a stage that did not take place.

    Args:
        chosen: the queries that the cycle selected.
        answered: the queries that it labelled: those of the cycle before.
    """
    cycle = model.cycle
    scored, extracted = state.scored.get(cycle), state.extracted.get(cycle)
    members = sum(member.train_seconds for member in state.members.get(cycle, {}).values())
    extract_seconds = extracted.seconds if extracted else 0.0
    return {
        "train_seconds": model.train_seconds + members,
        "evaluate_seconds": model.evaluate_seconds,
        "score_seconds": scored.seconds + extract_seconds if scored else None,
        "select_seconds": sum(query.select_seconds for query in chosen) if chosen else None,
        "label_seconds": sum(query.label_seconds for query in answered) if answered else None,
    }


def measured_rows(state: State) -> list[Row]:
    """Return the rows of `curve_rows` whose models were measured.

    The metrics are means over the measured models, in place of those of the model that chooses;
    `final_budget` is the named budget, in units.
    """
    rows = []
    for row in curve_rows(state):
        measured = state.measured.get(row["cycle"])
        if measured is None:
            continue
        metrics = [model.val for model in state.repeats_of(measured.cycle)]
        ious = zip(*(model.iou for model in metrics), strict=True)
        means = _iou_columns(state.created.class_names, [_mean(values) for values in ious])
        accuracy = _mean([model.pixel_accuracy for model in metrics])
        rows.append(
            {
                **row,
                "final_budget": measured.budget,
                "miou": measured.miou,
                "pixel_accuracy": accuracy,
                **means,
            }
        )
    return rows


def _iou_columns(names: Sequence[str], values: Sequence[float | None]) -> dict[str, float | None]:
    """Return a column for each class; a class that was added later has no value."""
    padded = [*values, *[None] * (len(names) - len(values))]
    return {f"iou_{name}": value for name, value in zip(names, padded, strict=True)}


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the known values; None if there is none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _fraction(labelled: Labelled, state: State, cycle: int) -> float:
    """Return the labelled share of the pool of a cycle: regions, pixels or images, by the unit."""
    sizes = state.pool_at(cycle)
    counts = {
        "regions": (labelled.regions, sizes.num_regions),
        "pixels": (labelled.pixels, sizes.num_pixels),
        "images": (labelled.images, sizes.num_images),
    }
    done, total = counts[UNITS.find(state.created.unit).share_by]
    return done / total


def write_curve(storage: Storage, state: State) -> None:
    """Write `curve.csv`."""
    text = curve_csv(curve_rows(state), state.created.class_names)
    storage.replace(RunDir.CURVE, text.encode())
