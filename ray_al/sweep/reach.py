"""At which budget a curve reaches a score, with what is known where it was not measured there; intervals over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ray_al.sweep.run_result import Group
from ray_al.sweep.stats import resamples

Known = tuple[np.ndarray, np.ndarray]
"""The lowest and the highest that each of several numbers may be, shape (n,) each; the same where it is known."""

SMALLEST = 1e-12
"""A budget of nothing has no logarithm."""


@dataclass(frozen=True, kw_only=True)
class SeedCurves:
    """Curves of the seeds of one setting, point by point: budgets above 0 and scores, shape (num_seeds, num_points) each."""

    seeds: tuple[int, ...]
    x: np.ndarray
    y: np.ndarray

    def means(self, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The mean curves of draws of seeds, shape (num_draws, num_seeds) -> (num_draws, num_points) twice."""
        return self.x[draws].mean(axis=1), self.y[draws].mean(axis=1)

    @property
    def mean(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean curve, as one draw of all seeds."""
        return self.means(np.arange(len(self.seeds))[None])

    def last(self, number: int) -> "SeedCurves":
        """The curves up to their point `number`."""
        return SeedCurves(seeds=self.seeds, x=self.x[:, : number + 1], y=self.y[:, : number + 1])


def seed_curves(group: Group, axis: str, scales: Sequence[float] | None = None) -> SeedCurves:
    """The curves of a group, as many points of each as all of its seeds have.

    Args:
        scales: by which the scores of each run are divided.
    """
    curves = [run.curve(axis) for run in group.runs]
    length = min(len(x) for x, _ in curves)
    y = np.stack([y[:length] for _, y in curves])
    if scales is not None:
        y = y / np.asarray(scales)[:, None]
    return SeedCurves(seeds=group.seeds, x=np.stack([x[:length] for x, _ in curves]), y=y)


def reach(x: np.ndarray, y: np.ndarray, target: np.ndarray) -> Known:
    """The budgets at which curves first reach a score, on lines over the logarithm of the budget.

    A curve that begins at the score or above may have reached it at any budget up to its first; one
    that never reaches it may do so at any beyond its last.

    Args:
        x: budgets, ascending, shape (n, num_points).
        y: scores, the same shape.
        target: shape (n,).
    """
    rows = np.arange(len(x))
    hit = y >= target[:, None]
    reached, first = hit.any(axis=1), hit.argmax(axis=1)
    before = np.maximum(first - 1, 0)
    rise = y[rows, first] - y[rows, before]
    part = np.where(rise > 0, (target - y[rows, before]) / np.where(rise > 0, rise, 1), 1.0)
    logs = np.log(np.maximum(x, SMALLEST))
    crossing = np.exp(logs[rows, before] + part * (logs[rows, first] - logs[rows, before]))
    low = np.where(reached, np.where(first == 0, 0.0, crossing), x[:, -1])
    high = np.where(reached, np.where(first == 0, x[:, 0], crossing), np.inf)
    return low, high


def share_saved(budget: Known, reference: Known) -> Known:
    """1 - budget / reference, which may be as low as minus infinity and never more than 1."""
    with np.errstate(divide="ignore"):
        low = np.where(
            np.isfinite(budget[1]) & (reference[0] > 0),
            1 - budget[1] / np.where(reference[0] > 0, reference[0], 1),
            -np.inf,
        )
    return low, 1 - budget[0] / reference[1]


def exact(values: np.ndarray) -> Known:
    """Numbers that are known."""
    return values, values


def estimate(value: Known, drawn: Known | None) -> dict[str, Any]:
    """A number with its 95 % interval over resamples, none of which is left out.

    The lower end is the 2.5th percentile of the lowest that each resample allows, the upper end the 97.5th
    of the highest. So the interval holds whatever the numbers are that lie beyond what was measured.

    Returns:
        `value`, or in its place `at_least` and `at_most`, which are None where there is no such bound; `low` and
        `high`, None where there are no seeds to draw from or the end is open; `open_low`, `open_high`; and
        `known`, the share of resamples whose number is known.
    """
    least, most = float(value[0][0]), float(value[1][0])
    facts: dict[str, Any] = {
        "value": least if least == most else None,
        "at_least": None,
        "at_most": None,
    }
    if least != most:
        facts.update(at_least=_finite(least), at_most=_finite(most))
    facts.update(low=None, high=None, open_low=False, open_high=False, known=None)
    if drawn is not None:
        low = float(np.percentile(drawn[0], 2.5, method="lower"))
        high = float(np.percentile(drawn[1], 97.5, method="higher"))
        facts.update(
            low=_finite(low),
            high=_finite(high),
            open_low=not np.isfinite(low),
            open_high=not np.isfinite(high),
        )
        facts["known"] = float((drawn[0] == drawn[1]).mean())
    return facts


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def paired_draws(one: SeedCurves, other: SeedCurves) -> tuple[np.ndarray, np.ndarray] | None:
    """Draws of seeds for both, the same ones where their seeds are the same; None where one has a single seed."""
    if len(one.seeds) < 2 or len(other.seeds) < 2:
        return None
    if one.seeds == other.seeds:
        return resamples(len(one.seeds)), resamples(len(one.seeds))
    # Of other seeds the draws must not go together, which those of one table would.
    return resamples(len(one.seeds)), resamples(len(other.seeds))[::-1]


def estimate_text(
    facts: dict[str, Any] | None,
    *,
    scale: float = 1.0,
    digits: int = 0,
    floor: float | None = None,
    ceiling: float | None = None,
) -> str:
    """`47 [32, 58]`, `at least 40 [31, 100]`, `at most 3 [open, 5]`; a dash where there is nothing.

    Args:
        floor: a lower bound that says nothing, as that a budget is more than 0.
        ceiling: an upper bound that says nothing, as that no more than all labels can be saved.
    """
    if facts is None:
        return "-"

    def number(value: float) -> str:
        return f"{scale * value:.{digits}f}"

    least = None if facts["at_least"] == floor else facts["at_least"]
    most = None if facts["at_most"] == ceiling else facts["at_most"]
    if facts["value"] is not None:
        text = number(facts["value"])
    elif least is not None and most is not None:
        text = f"{number(least)} to {number(most)}"
    elif least is not None:
        text = f"at least {number(least)}"
    else:
        text = "unknown" if most is None else f"at most {number(most)}"
    if facts["known"] is None:
        return text
    ends = ("open" if facts[f"open_{end}"] else number(facts[end]) for end in ("low", "high"))
    return f"{text} [{', '.join(ends)}]"
