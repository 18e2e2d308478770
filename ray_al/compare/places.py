"""A comparison from places to files: read, export, group, compare, write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ray_al.compare.by_budget import compare, find_reference
from ray_al.compare.by_cost import FREE, compare_costs, cost_sentence, cost_text
from ray_al.compare.costs import CostModel, CostNotes, note_costs, with_minutes
from ray_al.compare.endpoints import (
    Endpoint,
    difference_sentence,
    endpoint_text,
    find_endpoints,
)
from ray_al.compare.facts import Comparison, Excluded
from ray_al.compare.grouping import choose_measure, group_runs
from ray_al.compare.output import write_comparison
from ray_al.compare.output_costs import write_costs
from ray_al.compare.results import write_results
from ray_al.compare.run_result import Group, Grouped, RunResult
from ray_al.compare.runs import Reading, read_runs
from ray_al.compare.saved import saved_sentence
from ray_al.compare.text import apart_lines, comparison_text, saved_text
from ray_al.core.errors import ConfigError
from ray_al.core.storage import Storage

TEXT = "comparison.txt"
"""The file with the text that the terminal shows."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The comparison that is asked for.

    Attributes:
        measure: `miou` or `final_miou`; None for the second if every finished run has it.
        at: budgets at which mIoU is wanted.
        reference: label of a group; None for random choice.
        allow: keys of the recipe that may differ.
        by: `budget` to compare scores at equal budgets, `cost` to compare the costs of reaching
            shares of the full score.
        costs: seconds of a person's time.
    """

    measure: str | None = None
    at: tuple[float, ...] = ()
    reference: str | None = None
    allow: tuple[str, ...] = ()
    by: str = "budget"
    costs: CostModel = field(default_factory=CostModel)


@dataclass(frozen=True, kw_only=True)
class _Written:
    """A comparison that is written.

    Attributes:
        values: the facts as plain values.
        text: the facts as lines for a terminal.
        files: places of the files by name.
    """

    values: dict[str, Any]
    text: list[str]
    files: dict[str, str]


def compare_places(
    places: Sequence[str], wanted: Wanted, *, out: str | None, export: str | None
) -> tuple[dict[str, Any], str]:
    """Compare the runs at `places`, and write the files.

    Args:
        out: folder of the comparison; None for no comparison.
        export: folder into which the runs are written as small files; None for no export.

    Returns:
        The facts as plain values, and the text that a terminal shows.

    Raises:
        ConfigError: a place, or the comparison that is asked for, does not fit.
    """
    reading = read_runs(places)
    runs = tuple(with_minutes(run, wanted.costs) for run in reading.runs)
    reading = replace(reading, runs=runs)
    exported: dict[str, Any] = {}
    lines: list[str] = []
    if export is not None:
        names = _export(reading, export)
        exported["exported"] = names
        lines.append(f"results of {sum(name.endswith('.csv') for name in names)} runs: {export}")
    if out is None:
        return exported, "\n".join(lines)
    written = _write(reading, wanted, out, exported)
    Storage(out).replace(TEXT, "\n".join([*written.text, ""]).encode())
    page = next(uri for name, uri in written.files.items() if name.endswith(".html"))
    files = {**written.files, TEXT: Storage(out).uri(TEXT)}
    shown = "\n".join([*lines, *written.text, f"page: {page}"])
    return {**exported, **written.values, "files": files}, shown


def _write(reading: Reading, wanted: Wanted, out: str, exported: Mapping[str, Any]) -> _Written:
    endpoints = find_endpoints(reading)
    measure, runs = choose_measure(reading.runs, wanted.measure)
    free = [*wanted.allow, *(FREE if wanted.by == "cost" else ())]
    grouped = group_runs(runs, reading.without_miou, varied=set(reading.varied), allowed=free)
    costs = note_costs(wanted.costs, grouped.groups)
    write = _write_by_cost if wanted.by == "cost" else _write_by_budget
    return write(grouped, wanted, measure, endpoints, costs, out, exported)


def _write_by_budget(
    grouped: Grouped,
    wanted: Wanted,
    measure: str,
    endpoints: Mapping[str, Endpoint],
    costs: CostNotes,
    out: str,
    exported: Mapping[str, Any],
) -> _Written:
    found = compare(grouped, measure=measure, at=wanted.at, reference=wanted.reference)
    found = replace(found, endpoints=tuple(endpoints.values()), costs=costs)
    saved = saved_text(found)
    return _Written(
        values=found.json_values(),
        text=[
            comparison_text(found),
            *([saved] if saved else []),
            *map(endpoint_text, endpoints.values()),
            *sentences(found, endpoints, grouped.groups),
            *_notes(costs),
        ],
        files=write_comparison(found, out, exported),
    )


def _write_by_cost(
    grouped: Grouped,
    wanted: Wanted,
    measure: str,
    endpoints: Mapping[str, Endpoint],
    costs: CostNotes,
    out: str,
    exported: Mapping[str, Any],
) -> _Written:
    base = None
    if wanted.reference is not None:
        base = find_reference(grouped.groups, wanted.reference)
    found = replace(
        compare_costs(grouped.groups, base),
        apart=tuple(Excluded(run=uri, reason=reason) for uri, reason in grouped.apart),
        keys=grouped.keys,
        endpoints=tuple(endpoints.values()),
        costs=costs,
        measure=measure,
    )
    sentence = cost_sentence(found)
    return _Written(
        values=found.json_values(),
        text=[
            cost_text(found, costs.text),
            *apart_lines(found.apart),
            *([sentence] if sentence else []),
            *map(endpoint_text, endpoints.values()),
            *_notes(costs),
        ],
        files=write_costs(found, out, exported),
    )


def sentences(
    comparison: Comparison, endpoints: Mapping[str, Endpoint], groups: Sequence[Group]
) -> list[str]:
    """Return one sentence for each named comparison with the reference.

    Args:
        endpoints: by the places of their sweeps.
        groups: of `comparison`.
    """
    labels = {(run.sweep, run.group): group.label for group in groups for run in group.runs}
    saved = {group.label: group.saved for group in comparison.groups if group.saved}
    reference = comparison.reference
    found = []
    for place, endpoint in endpoints.items():
        for pair in endpoint.comparisons:
            label, other = labels.get((place, pair.one)), labels.get((place, pair.other))
            if reference is None or label not in saved or other != reference:
                continue
            if pair.difference is not None:
                sentence = saved_sentence(label, reference, saved[label])
                found.append(f"{endpoint.sweep}: {sentence} {difference_sentence(pair)}")
    return found


def _notes(costs: CostNotes) -> list[str]:
    if not costs.cut_off:
        return []
    return [
        f"clicks were cut off at label.max_clicks in most labels of {', '.join(costs.cut_off)}: "
        "their clicks and minutes are too few; raise it in new runs"
    ]


def _export(reading: Reading, out: str) -> list[str]:
    """Write the runs into a folder of results, and return the names of the files.

    The runs belong to one sweep, whose file is written too, or to none.

    Raises:
        ConfigError: runs of several sweeps, or of one sweep and of none.
    """
    if len(reading.sweeps) > 1:
        raise ConfigError(
            f"--export: {', '.join(reading.sweeps)} are several sweeps; "
            "export each into a folder of its own"
        )
    loose = [run for run in reading.runs if not run.sweep]
    if reading.sweeps and loose:
        raise ConfigError(
            f"--export: {loose[0].uri} belongs to no sweep, and the others do; "
            "export them into folders of their own"
        )
    for sweep, settings in reading.sweeps.values():
        return write_results(reading.runs, sweep, settings, out)
    return write_results(_named(reading.runs), None, {}, out)


def _named(runs: Sequence[RunResult]) -> list[RunResult]:
    """Return the comparable runs, each with the name of its group."""
    names = {
        run.uri: group.label.replace(" ", "-")
        for group in group_runs(runs, varied=set()).groups
        for run in group.runs
    }
    return [replace(run, group=run.group or names[run.uri]) for run in runs if run.uri in names]
