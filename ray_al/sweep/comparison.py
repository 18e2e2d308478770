"""A comparison from places to files: read, export, group, compare, write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ray_al.core.errors import ConfigError
from ray_al.core.storage import Storage
from ray_al.sweep.compare import compare, find_reference
from ray_al.sweep.costs import CostModel, costs_facts, with_minutes
from ray_al.sweep.endpoint import difference_sentence, endpoint_text
from ray_al.sweep.granularity import FREE, cost_facts, cost_sentence, cost_text
from ray_al.sweep.output import comparison_text, write_comparison
from ray_al.sweep.output_costs import write_costs
from ray_al.sweep.results import write_results
from ray_al.sweep.run_result import Grouped
from ray_al.sweep.runs import Reading, choose_measure, endpoints, group_runs, read_runs
from ray_al.sweep.saved import saved_sentence, saved_text

TEXT = "comparison.txt"
"""What the terminal shows, as a file beside the others."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is compared, and how.

    Attributes:
        measure: `miou` or `final_miou`; None for the second where every finished run has it.
        at: budgets at which mIoU is wanted.
        reference: label of a group; None for random choice.
        allow: keys of the recipe that may differ.
        by: `budget`, at equal budgets, or `cost`, what shares of the full score cost.
    """

    measure: str | None = None
    at: tuple[float, ...] = ()
    reference: str | None = None
    allow: tuple[str, ...] = ()
    by: str = "budget"
    costs: CostModel = field(default_factory=CostModel)


def compare_places(
    places: Sequence[str], wanted: Wanted, *, out: str | None, export: str | None
) -> tuple[dict[str, Any], str]:
    """The facts of the comparison and what a terminal shows of them; writes into `out` and `export` where they are given.

    Raises:
        ConfigError: a place, or what is wanted of it, does not fit.
    """
    reading = read_runs(places)
    reading = replace(reading, runs=tuple(with_minutes(run, wanted.costs) for run in reading.runs))
    facts: dict[str, Any] = {}
    lines: list[str] = []
    if export is not None:
        names = _export(reading, export)
        facts["exported"] = names
        lines.append(f"results of {sum(name.endswith('.csv') for name in names)} runs: {export}")
    if out is None:
        return facts, "\n".join(lines)
    named = endpoints(reading)
    measure, runs = choose_measure(reading.runs, wanted.measure)
    free = [*wanted.allow, *(FREE if wanted.by == "cost" else ())]
    grouped = group_runs(runs, reading.begun, varied=set(reading.varied), allowed=free)
    more = {"endpoints": named, "costs": costs_facts(wanted.costs, grouped.groups)}
    if wanted.by == "cost":
        facts |= {**_costs(grouped, wanted.reference), **more, "measure": measure}
        sentence = cost_sentence(facts)
        text = [cost_text(facts, wanted.costs.text), *([sentence] if sentence else [])]
        files = write_costs(facts, out)
    else:
        facts |= {
            **compare(grouped, measure=measure, at=wanted.at, reference=wanted.reference),
            **more,
        }
        text = [comparison_text(facts), *([saved] if (saved := saved_text(facts)) else [])]
        files = write_comparison(facts, out)
    page = next(uri for name, uri in files.items() if name.endswith(".html"))
    text += [endpoint_text(one) for one in named]
    if wanted.by == "budget":
        text += sentences(
            facts,
            {run.group: group.label for group in grouped.groups for run in group.runs if run.group},
        )
    text += _notes(facts)
    Storage(out).replace(TEXT, "\n".join([*text, ""]).encode())
    return {**facts, "files": {**files, TEXT: Storage(out).uri(TEXT)}}, "\n".join(
        [*lines, *text, f"page: {page}"]
    )


def sentences(facts: dict[str, Any], labels: Mapping[str, str]) -> list[str]:
    """What each named comparison with the reference found, in a sentence.

    Args:
        labels: name of a setting in its sweep -> label of its group here.
    """
    saved = {group["label"]: group["saved"] for group in facts["groups"] if group["saved"]}
    found = []
    for endpoint in facts["endpoints"]:
        for row in endpoint["comparisons"]:
            one, other = labels.get(row["one"]), labels.get(row["other"])
            if one in saved and other == facts["reference"] and row["difference"] is not None:
                found.append(
                    f"{endpoint['sweep']}: {saved_sentence(str(one), facts['reference'], saved[one])} {difference_sentence(row)}"
                )
    return found


def _costs(grouped: Grouped, reference: str | None) -> dict[str, Any]:
    base = None if reference is None else find_reference(grouped.groups, reference)
    apart = [{"run": uri, "reason": reason} for uri, reason in grouped.apart]
    return {**cost_facts(grouped.groups, base), "apart": apart, "keys": list(grouped.keys)}


def _notes(facts: dict[str, Any]) -> list[str]:
    cut = facts["costs"]["cut_off"]
    if not cut:
        return []
    return [
        f"clicks were cut off at label.max_clicks in most labels of {', '.join(cut)}: their clicks and minutes are too few; raise it in new runs"
    ]


def _export(reading: Reading, out: str) -> list[str]:
    """Write the runs into a folder of results: of one sweep with its file, or of runs that belong to none."""
    if len(reading.sweeps) > 1:
        raise ConfigError(
            f"--export: {', '.join(reading.sweeps)} are several sweeps; export each into a folder of its own"
        )
    loose = [run for run in reading.runs if not run.sweep]
    if reading.sweeps and loose:
        raise ConfigError(
            f"--export: {loose[0].uri} belongs to no sweep, and the others do; export them into folders of their own"
        )
    for sweep, settings in reading.sweeps.values():
        return write_results(reading.runs, sweep, settings, out)
    names = {
        run.uri: group.label.replace(" ", "-")
        for group in group_runs(reading.runs, varied=set()).groups
        for run in group.runs
    }
    named = [
        replace(run, group=run.group or names[run.uri]) for run in reading.runs if run.uri in names
    ]
    return write_results(named, None, {}, out)
