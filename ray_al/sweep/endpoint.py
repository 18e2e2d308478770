"""The endpoint of a sweep: what its file names before any run is made, and what the runs then say."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ray_al.core.errors import ConfigError
from ray_al.sweep.config import EndpointConfig, SweepConfig
from ray_al.sweep.plan import Trial, group_label
from ray_al.sweep.stats import holm, paired_p, seeds_needed, t_interval

Scores = Mapping[int, float]
"""seed -> the endpoint of its run."""


def check_endpoint(sweep: SweepConfig, trials: Sequence[Trial]) -> None:
    """Refuse an endpoint that the planned runs could never give.

    Raises:
        ConfigError: a comparison names a setting that is not there, or a budget at which a named
            setting measures no models.
    """
    if sweep.endpoint is None:
        return
    by_group: dict[str, Trial] = {}
    for trial in trials:
        by_group.setdefault(trial.group, trial)
    settings = {group: trial.setting for group, trial in by_group.items()}
    source = f"sweep {sweep.name}, endpoint"
    names = {
        resolve(name, settings, source=source)
        for pair in sweep.endpoint.comparisons
        for name in pair
    }
    if sweep.endpoint.measure != "final_miou":
        return
    for group in sorted(names):
        measured = by_group[group].config.final.budgets
        for budget in sweep.endpoint.budgets:
            if not any(budget == one and type(budget) is type(one) for one in measured):
                raise ConfigError(
                    f"{source}.budgets: {budget_text(budget)} is none of final.budgets of {group}, which are "
                    f"{', '.join(map(budget_text, measured)) or 'none'}; add it there as it is written here, or leave it out"
                )


def resolve(name: str, settings: Mapping[str, Mapping[str, Any]], *, source: str) -> str:
    """The group that a comparison means by `name`: its own name, or the label that comparisons give it.

    Args:
        settings: group -> setting.

    Raises:
        ConfigError: no group or several have that name.
    """
    if name in settings:
        return name
    found = [group for group, setting in settings.items() if group_label(setting) == name]
    if len(found) == 1:
        return found[0]
    problem = "several settings have that name" if found else "no setting has that name"
    raise ConfigError(f"{source}.comparisons: {name!r}: {problem}; there are {', '.join(settings)}")


def budget_text(budget: int | float) -> str:
    """A budget as it is written: `2 %`, or a count."""
    return str(budget) if isinstance(budget, int) else f"{100 * budget:.10g} %"


def endpoint_lines(sweep: SweepConfig, trials: Sequence[Trial]) -> list[str]:
    """What `--dry-run` says of the endpoint and of the names that it may use."""
    groups = list(dict.fromkeys(trial.group for trial in trials))
    lines = [f"settings: {', '.join(groups)}"]
    if sweep.endpoint is None:
        return [*lines, "endpoint: none is named"]
    budgets = ", ".join(map(budget_text, sweep.endpoint.budgets))
    lines.append(
        f"endpoint: mean {sweep.endpoint.measure} at {budgets}; seeds {', '.join(map(str, sweep.seeds))}"
    )
    pairs = [f"{one} - {other}" for one, other in sweep.endpoint.comparisons]
    lines += [f"compared: {pair}" for pair in pairs]
    return [*lines, f"p-values are corrected by Holm over these {len(pairs)} comparisons"]


def endpoint_facts(
    name: str,
    endpoint: EndpointConfig,
    scores: Mapping[str, Scores],
    settings: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """The named comparisons, each paired over the seeds that both settings have.

    `p_holm` is corrected over all comparisons that are named: one that cannot be tested yet counts as well.

    Args:
        name: of the sweep.
        scores: group -> the endpoints of its finished runs, which may be none.
        settings: group -> setting, of all planned groups.
    """
    source = f"sweep {name}, endpoint"
    rows = [
        _pair(
            resolve(one, settings, source=source), resolve(other, settings, source=source), scores
        )
        for one, other in endpoint.comparisons
    ]
    adjusted = holm([1.0 if row["p"] is None else row["p"] for row in rows])
    for row, p in zip(rows, adjusted.tolist(), strict=True):
        row["p_holm"] = None if row["p"] is None else p
    return {
        "sweep": name,
        "measure": endpoint.measure,
        "budgets": [budget_text(budget) for budget in endpoint.budgets],
        "scores": {
            group: {str(seed): value for seed, value in sorted(by_seed.items())}
            for group, by_seed in scores.items()
        },
        "comparisons": rows,
    }


def _pair(one: str, other: str, scores: Mapping[str, Scores]) -> dict[str, Any]:
    a, b = scores.get(one, {}), scores.get(other, {})
    seeds = sorted(a.keys() & b.keys())
    first, second = (np.array([values[seed] for seed in seeds]) for values in (a, b))
    difference = first - second
    row: dict[str, Any] = {
        "one": one,
        "other": other,
        "seeds": seeds,
        "mean_one": None,
        "mean_other": None,
        "difference": None,
    }
    row.update(spread=None, low=None, high=None, p=None, seeds_needed=None)
    if seeds:
        row.update(
            mean_one=float(first.mean()),
            mean_other=float(second.mean()),
            difference=float(difference.mean()),
        )
    if len(seeds) > 1:
        spread = float(difference.std(ddof=1))
        low, high = t_interval(difference)
        p = paired_p(first, second)
        effect = float(difference.mean()) / spread if spread > 0 else float("nan")
        row.update(
            spread=spread,
            low=low,
            high=high,
            p=p if np.isfinite(p) else None,
            seeds_needed=seeds_needed(effect),
        )
    return row


def endpoint_text(facts: Mapping[str, Any]) -> str:
    """The comparisons for a terminal."""
    rows = facts["comparisons"]
    width = max(len(f"{row['one']} - {row['other']}") for row in rows)
    head = f"endpoint of {facts['sweep']}: mean {facts['measure']} at {', '.join(facts['budgets'])}"
    lines = [
        head,
        f"{'comparison':{width}s} seeds  difference  sd over seeds  95 % t interval        p        p (Holm)  seeds needed",
    ]
    for row in rows:
        pair = f"{row['one']} - {row['other']}"
        if row["difference"] is None:
            lines.append(f"{pair:{width}s} {0:5d}  no seed has both")
            continue
        lines.append(
            f"{pair:{width}s} {len(row['seeds']):5d}  {row['difference']:+.4f}     {_numbers_text(row)}"
        )
    lines.append(
        f"p of the paired t-test; Holm's correction over the {len(rows)} comparisons that the sweep file names"
    )
    return "\n".join(lines)


def _numbers_text(row: Mapping[str, Any]) -> str:
    spread = "-" if row["spread"] is None else f"{row['spread']:.4f}"
    interval = "-" if row["low"] is None else f"[{row['low']:+.4f}, {row['high']:+.4f}]"
    p, corrected = (p_text(row[key]) for key in ("p", "p_holm"))
    return f"{spread:13s}  {interval:21s}  {p:7s}  {corrected:8s}  {row['seeds_needed'] or '-'}"


def difference_sentence(row: Mapping[str, Any]) -> str:
    """What a named comparison found in the endpoint."""
    text = f"In the endpoint {row['one']} differs from {row['other']} by {row['difference']:+.4f}"
    if row["low"] is None:
        return f"{text} (one seed)."
    p = p_text(row["p_holm"])
    shown = f"p {p}" if p.startswith("<") else f"p = {p}"
    return f"{text} [{row['low']:+.4f}, {row['high']:+.4f}] ({len(row['seeds'])} seeds; {shown} after Holm)."


def p_text(p: float | None) -> str:
    """A p-value to four digits."""
    if p is None:
        return "-"
    return f"{p:.4f}" if p >= 0.0001 else "<0.0001"
