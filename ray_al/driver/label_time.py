"""Divide the scores of a cycle by the time that labels are expected to take."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from ray_al.core.arrays import is_among
from ray_al.core.strategy import LabelTime
from ray_al.driver.context import Context
from ray_al.driver.pool import read_table
from ray_al.label.expected import ExpectedClicks, expected_seconds, fit_clicks

LEAST = 10
"""Labelled regions from which clicks can be learnt."""
ENOUGH = 200
"""Labelled regions beyond which those of earlier cycles are not looked at."""


def scores_per_second(
    context: Context, cycle: int, parts: Iterable[pa.Table], time: LabelTime
) -> Iterator[pa.Table]:
    """Yield the parts with their scores divided by the expected seconds of each label.

    Scores stay as they are while too few labels are known.

    Args:
        parts: SCORE_SCHEMA with `outline`.
    """
    expected = _learn(context, cycle)
    for part in parts:
        yield part if expected is None else _divided(context, part, expected, time)


def _divided(
    context: Context, part: pa.Table, expected: ExpectedClicks, time: LabelTime
) -> pa.Table:
    seconds = expected_seconds(
        expected.of(part.column("outline").to_numpy().astype(np.float64)),
        time,
        clicks_name_classes=context.config.label.clicks_name_classes,
    )
    scores = part.column("score").to_numpy() / seconds
    part = _replace(part, "score", pa.array(scores, pa.float32()))
    if "class_scores" not in part.column_names:
        return part
    column = part.column("class_scores").combine_chunks()
    size = column.type.list_size
    by_class = column.flatten().to_numpy() / np.repeat(seconds, size)
    return _replace(
        part,
        "class_scores",
        pa.FixedSizeListArray.from_arrays(pa.array(by_class, pa.float32()), size),
    )


def _replace(part: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return part.set_column(part.schema.get_field_index(name), name, values)


def _learn(context: Context, cycle: int) -> ExpectedClicks | None:
    """Learn what clicks to expect from labelled regions; None if there are too few.

    The outline of a region is what the last model predicted that scored it before it was labelled.
    Labels of a start set, which no trained model has scored, teach nothing. Those of the cycle
    itself teach only later ones, so that all queries of a cycle compare the same scores.
    """
    numbers, clicks = _labelled(context)
    is_open = ~is_among(numbers, _queried(context, cycle))
    lengths, taken = [np.zeros(0)], [np.zeros(0)]
    for earlier in range(cycle - 1, -1, -1):
        if sum(map(len, lengths)) >= ENOUGH:
            break
        for found, outlines in _outlines(context, earlier, numbers[is_open]):
            places = np.searchsorted(numbers, found)
            is_open[places] = False
            lengths.append(outlines)
            taken.append(clicks[places])
    if sum(map(len, lengths)) < LEAST:
        return None
    return fit_clicks(np.concatenate(lengths), np.concatenate(taken))


def _queried(context: Context, cycle: int) -> np.ndarray:
    """Return the flat numbers of the regions that `cycle` has queried so far, ascending."""
    files = [query.file for query in context.state.queries if query.cycle == cycle]
    tables = [read_table(context.storage, ref, ["image_index", "region"]) for ref in files]
    numbers = [np.zeros(0, dtype=np.int64), *map(context.pool.numbers, tables)]
    return np.sort(np.concatenate(numbers))


def _labelled(context: Context) -> tuple[np.ndarray, np.ndarray]:
    """Return the flat numbers of the labelled regions, ascending, and the clicks of each."""
    columns = ["image_index", "region", "clicks"]
    tables = [read_table(context.storage, ref, columns) for ref in context.state.label_parts]
    numbers = np.concatenate([np.zeros(0, dtype=np.int64), *map(context.pool.numbers, tables)])
    clicks = [table.column("clicks").to_numpy() for table in tables]
    numbers, first = np.unique(numbers, return_index=True)
    return numbers, np.concatenate([np.zeros(0, dtype=np.int64), *clicks])[first]


def _outlines(
    context: Context, cycle: int, ascending: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the flat numbers and outlines of those regions that were scored in `cycle`."""
    columns = ["image_index", "region", "outline"]
    for _, ref in sorted(context.state.scores.get(cycle, {}).items()):
        if ref is None:
            continue
        part = read_table(context.storage, ref, columns)
        numbers = context.pool.numbers(part)
        wanted = is_among(numbers, ascending)
        yield numbers[wanted], part.column("outline").to_numpy()[wanted].astype(np.float64)
