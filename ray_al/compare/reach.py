"""The budget at which a curve reaches a score, with bounds if it was not measured there.

Intervals are over seeds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ray_al.compare.run_result import Group
from ray_al.compare.stats import resamples

Curves = tuple[np.ndarray, np.ndarray]
"""Budgets and scores of several curves, shape (n, num_points) each."""
Known = tuple[np.ndarray, np.ndarray]
"""The lowest and the highest value that several numbers may have, shape (n,) each.

Both are equal for a number that is known."""

SMALLEST = 1e-12
"""Lower bound of budgets whose logarithm is taken: zero has none."""


@dataclass(frozen=True, kw_only=True)
class SeedCurves:
    """Curves of the seeds of one setting: budgets above 0 and scores.

    Attributes:
        x: budgets, shape (num_seeds, num_points).
        y: scores, the same shape.
    """

    seeds: tuple[int, ...]
    x: np.ndarray
    y: np.ndarray

    def means(self, draws: np.ndarray) -> Curves:
        """Return the mean curves of draws of seeds.

        Args:
            draws: indices of seeds, shape (num_draws, num_seeds).

        Returns:
            Budgets and scores, shape (num_draws, num_points) each.
        """
        return self.x[draws].mean(axis=1), self.y[draws].mean(axis=1)

    @property
    def mean(self) -> Curves:
        """The mean curve, as one draw of all seeds."""
        return self.means(np.arange(len(self.seeds))[None])

    def last(self, number: int) -> "SeedCurves":
        """Return the curves up to their point `number`."""
        return SeedCurves(seeds=self.seeds, x=self.x[:, : number + 1], y=self.y[:, : number + 1])


def seed_curves(group: Group, axis: str, scales: Sequence[float] | None = None) -> SeedCurves:
    """Return the curves of a group, with as many points as all of its seeds have.

    Args:
        scales: for each run, the number by which its scores are divided.
    """
    curves = [run.curve(axis) for run in group.runs]
    length = min(len(x) for x, _ in curves)
    y = np.stack([y[:length] for _, y in curves])
    if scales is not None:
        y = y / np.asarray(scales)[:, None]
    return SeedCurves(seeds=group.seeds, x=np.stack([x[:length] for x, _ in curves]), y=y)


def reach(x: np.ndarray, y: np.ndarray, target: np.ndarray) -> Known:
    """Return the budgets at which curves first reach a score.

    Between points, the score is linear in the logarithm of the budget. A curve that begins at the
    score or above may have reached it at any budget up to its first. A curve that never reaches it
    may do so at any budget beyond its last.

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
    """Return 1 - budget / reference, which may be minus infinity and is at most 1."""
    with np.errstate(divide="ignore"):
        low = np.where(
            np.isfinite(budget[1]) & (reference[0] > 0),
            1 - budget[1] / np.where(reference[0] > 0, reference[0], 1),
            -np.inf,
        )
    return low, 1 - budget[0] / reference[1]


def exact(values: np.ndarray) -> Known:
    """Return numbers that are known as bounds."""
    return values, values


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """A number, or what is known of it.

    Attributes:
        value: the number; None if only bounds are known.
        at_least: lower bound of an unknown number; None if there is none.
        at_most: upper bound of an unknown number; None if there is none.
    """

    value: float | None
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, kw_only=True)
class Estimate(Bounds):
    """A number with its 95 % interval over resamples.

    Attributes:
        low: lower end; None if it is open, or if there are no seeds to draw from.
        high: upper end; likewise.
        open_low: whether the lower end is open.
        open_high: whether the upper end is open.
        known: share of resamples whose number is known; None if there are no seeds to draw from.
    """

    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False
    known: float | None = None


def bounds(value: Known) -> Bounds:
    """Return the only number of `value`, or its bounds."""
    least, most = float(value[0][0]), float(value[1][0])
    if least == most:
        return Bounds(value=least)
    return Bounds(value=None, at_least=_finite(least), at_most=_finite(most))


def estimate(value: Known, drawn: Known | None) -> Estimate:
    """Return a number with its 95 % interval over resamples, none of which is left out.

    The lower end is the 2.5th percentile of the lowest value that each resample allows, the upper
    end the 97.5th of the highest. So the interval holds whatever the numbers are that lie beyond
    the measured budgets.

    Args:
        value: one number.
        drawn: the number in each resample; None if there are no seeds to draw from.
    """
    known = bounds(value)
    number = Estimate(value=known.value, at_least=known.at_least, at_most=known.at_most)
    if drawn is None:
        return number
    low = float(np.percentile(drawn[0], 2.5, method="lower"))
    high = float(np.percentile(drawn[1], 97.5, method="higher"))
    return Estimate(
        value=known.value,
        at_least=known.at_least,
        at_most=known.at_most,
        low=_finite(low),
        high=_finite(high),
        open_low=not np.isfinite(low),
        open_high=not np.isfinite(high),
        known=float((drawn[0] == drawn[1]).mean()),
    )


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def paired_draws(own: SeedCurves, other: SeedCurves) -> tuple[np.ndarray, np.ndarray] | None:
    """Draw seeds for two settings, the same ones if both have the same seeds.

    Returns:
        Indices of seeds, shape (num_draws, num_seeds) each; None if a setting has a single seed.
    """
    if len(own.seeds) < 2 or len(other.seeds) < 2:
        return None
    if own.seeds == other.seeds:
        return resamples(len(own.seeds)), resamples(len(own.seeds))
    # Draws of different seeds must be independent, so one of the two tables is read backwards.
    return resamples(len(own.seeds)), resamples(len(other.seeds))[::-1]


def estimate_text(
    number: Bounds | None,
    *,
    show: Callable[[float], str] = "{:.0f}".format,
    floor: float | None = None,
    ceiling: float | None = None,
) -> str:
    """Return `47 [32, 58]`, `at least 40 [31, 100]` or `at most 3 [open, 5]`; a dash for None.

    Args:
        show: returns the text of a value.
        floor: a lower bound that says nothing, for example that a budget is more than 0.
        ceiling: an upper bound that says nothing, for example that no more than all labels can be
            saved.
    """
    if number is None:
        return "-"

    def shown(value: float | None) -> str:
        return "open" if value is None else show(value)

    least = None if number.at_least == floor else number.at_least
    most = None if number.at_most == ceiling else number.at_most
    if number.value is not None:
        text = shown(number.value)
    elif least is not None and most is not None:
        text = f"{shown(least)} to {shown(most)}"
    elif least is not None:
        text = f"at least {shown(least)}"
    else:
        text = "unknown" if most is None else f"at most {shown(most)}"
    if not isinstance(number, Estimate) or number.known is None:
        return text
    return f"{text} [{shown(number.low)}, {shown(number.high)}]"
