"""`curve.csv`: one row per cycle, for scripts."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

MEASURED_COLUMNS = ("final_miou", "final_spread", "measure_seconds")
"""Columns for the models that were measured on the labels of a cycle; empty if none were."""
EXTRA_COLUMNS = ("train_loss", "kept_step")
"""Last columns, of runs that have them: the loss at the end of the training, without validation
images; and the step whose weights were kept, with `train.keep: best`."""


def curve_columns(class_names: Sequence[str]) -> list[str]:
    """Return the names of the columns, in order."""
    labelled = [f"labelled_{unit}" for unit in ("regions", "pixels", "images", "clicks")]
    head = ["cycle", *labelled, "labelled_fraction", "cost", "miou", "pixel_accuracy"]
    tail = [
        "train_seconds",
        "evaluate_seconds",
        "score_seconds",
        "select_seconds",
        "label_seconds",
        "cycle_seconds",
        "images_per_second",
    ]
    return [*head, *(f"iou_{name}" for name in class_names), *tail, *MEASURED_COLUMNS]


def curve_csv(rows: Sequence[Mapping[str, Any]], class_names: Sequence[str]) -> str:
    """Return the rows as CSV; a value that is not known is an empty cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    extra = [name for name in EXTRA_COLUMNS if any(name in row for row in rows)]
    columns = [*curve_columns(class_names), *extra]
    writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return buffer.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
