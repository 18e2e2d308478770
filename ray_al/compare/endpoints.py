"""The endpoint of a sweep, from its runs: the comparisons that the sweep file names."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ray_al.compare.runs import Reading
from ray_al.compare.stats import holm, paired_effect, paired_p, seeds_needed, t_interval
from ray_al.sweep.config import EndpointConfig
from ray_al.sweep.endpoint import budget_text, resolve
from ray_al.sweep.naming import Setting

Scores = Mapping[int, float]
"""The endpoint of each run of a group, by seed."""


@dataclass(frozen=True, kw_only=True)
class NamedPair:
    """One comparison that a sweep file names; None for a number that too few seeds give.

    Attributes:
        one: group from which `other` is subtracted.
        seeds: those that both groups have.
        spread: standard deviation of the differences over seeds.
        low: lower end of the 95 % t interval of the difference; `high` is the upper end.
        p: of the paired t-test; `p_holm` is corrected over all comparisons that are named.
        seeds_needed: seeds that find such a difference with 80 % power at the 5 % level.
    """

    one: str
    other: str
    seeds: tuple[int, ...]
    mean_one: float | None = None
    mean_other: float | None = None
    difference: float | None = None
    spread: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    seeds_needed: int | None = None
    p_holm: float | None = None


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The endpoint of one sweep.

    Attributes:
        budgets: as people write them.
        scores: endpoint of each finished run, by group and seed.
    """

    sweep: str
    measure: str
    budgets: tuple[str, ...]
    scores: Mapping[str, Mapping[str, float]]
    comparisons: tuple[NamedPair, ...]


def find_endpoints(reading: Reading) -> dict[str, Endpoint]:
    """Return the endpoint of each sweep whose file names one, by the sweep's place."""
    found = {}
    for place, (sweep, settings) in reading.sweeps.items():
        if sweep.endpoint is not None:
            scores = _scores(reading, place, sweep.endpoint, settings)
            found[place] = endpoint_result(sweep.name, sweep.endpoint, scores, settings)
    return found


def _scores(
    reading: Reading, place: str, endpoint: EndpointConfig, settings: Mapping[str, Setting]
) -> dict[str, dict[int, float]]:
    """Return the mean score over the endpoint's budgets, by group and seed."""
    scores: dict[str, dict[int, float]] = {group: {} for group in settings}
    for run in reading.runs:
        if run.sweep != place or not run.finished:
            continue
        values = [run.score_at(budget, endpoint.measure) for budget in endpoint.budgets]
        known = [value for value in values if value is not None]
        if len(known) == len(values):
            scores.setdefault(run.group, {})[run.seed] = float(np.mean(known))
    return scores


def endpoint_result(
    name: str,
    endpoint: EndpointConfig,
    scores: Mapping[str, Scores],
    settings: Mapping[str, Setting],
) -> Endpoint:
    """Test the named comparisons, each paired over the seeds that both settings have.

    Holm's correction counts all comparisons that are named: also one that cannot be tested yet.

    Args:
        name: of the sweep.
        scores: endpoints of the finished runs of each group, which may be none.
        settings: the setting of each planned group.

    Raises:
        ConfigError: a comparison names an unknown setting.
    """
    source = f"sweep {name}, endpoint"
    pairs = [
        _pair(
            resolve(one, settings, source=source), resolve(other, settings, source=source), scores
        )
        for one, other in endpoint.comparisons
    ]
    adjusted = holm([1.0 if pair.p is None else pair.p for pair in pairs]).tolist()
    return Endpoint(
        sweep=name,
        measure=endpoint.measure,
        budgets=tuple(budget_text(budget) for budget in endpoint.budgets),
        scores={
            group: {str(seed): score for seed, score in sorted(by_seed.items())}
            for group, by_seed in scores.items()
        },
        comparisons=tuple(
            pair if pair.p is None else replace(pair, p_holm=p)
            for pair, p in zip(pairs, adjusted, strict=True)
        ),
    )


def _pair(one: str, other: str, scores: Mapping[str, Scores]) -> NamedPair:
    a, b = scores.get(one, {}), scores.get(other, {})
    seeds = tuple(sorted(a.keys() & b.keys()))
    pair = NamedPair(one=one, other=other, seeds=seeds)
    if not seeds:
        return pair
    first, second = (np.array([values[seed] for seed in seeds]) for values in (a, b))
    difference = first - second
    pair = replace(
        pair,
        mean_one=float(first.mean()),
        mean_other=float(second.mean()),
        difference=float(difference.mean()),
    )
    if len(seeds) < 2:
        return pair
    low, high = t_interval(difference)
    p = paired_p(first, second)
    return replace(
        pair,
        spread=float(difference.std(ddof=1)),
        low=low,
        high=high,
        p=p if np.isfinite(p) else None,
        seeds_needed=seeds_needed(paired_effect(difference)),
    )


def endpoint_text(endpoint: Endpoint) -> str:
    """Return the comparisons as a table for a terminal."""
    pairs = endpoint.comparisons
    width = max(len(f"{pair.one} - {pair.other}") for pair in pairs)
    budgets = ", ".join(endpoint.budgets)
    lines = [
        f"endpoint of {endpoint.sweep}: mean {endpoint.measure} at {budgets}",
        f"{'comparison':{width}s} seeds  difference  sd over seeds  95 % t interval        "
        "p        p (Holm)  seeds needed",
        *(_pair_text(pair, width) for pair in pairs),
        f"p of the paired t-test; Holm's correction over the {len(pairs)} comparisons that the "
        "sweep file names",
    ]
    return "\n".join(lines)


def _pair_text(pair: NamedPair, width: int) -> str:
    name = f"{pair.one} - {pair.other}"
    if pair.difference is None:
        return f"{name:{width}s} {0:5d}  no seed has both"
    spread = "-" if pair.spread is None else f"{pair.spread:.4f}"
    interval = "-" if pair.low is None else f"[{pair.low:+.4f}, {pair.high:+.4f}]"
    numbers = f"{spread:13s}  {interval:21s}  {p_text(pair.p):7s}  {p_text(pair.p_holm):8s}"
    return (
        f"{name:{width}s} {len(pair.seeds):5d}  {pair.difference:+.4f}     "
        f"{numbers}  {pair.seeds_needed or '-'}"
    )


def difference_sentence(pair: NamedPair) -> str:
    """Return what a named comparison found in the endpoint, as a sentence.

    The two groups must have a seed in common.
    """
    text = f"In the endpoint {pair.one} differs from {pair.other} by {pair.difference:+.4f}"
    if pair.low is None:
        return f"{text} (one seed)."
    p = p_text(pair.p_holm)
    shown = f"p {p}" if p.startswith("<") else f"p = {p}"
    interval = f"[{pair.low:+.4f}, {pair.high:+.4f}]"
    return f"{text} {interval} ({len(pair.seeds)} seeds; {shown} after Holm)."


def p_text(p: float | None) -> str:
    """Return a p-value with four digits; a dash for None."""
    if p is None:
        return "-"
    return f"{p:.4f}" if p >= 0.0001 else "<0.0001"
