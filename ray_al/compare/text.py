"""A comparison at equal budgets as text for a terminal."""

from collections.abc import Sequence
from typing import Protocol

from ray_al.compare.by_budget import MEASURES
from ray_al.compare.facts import Comparison, Excluded, GroupFacts
from ray_al.compare.run_result import AXES, SHARES
from ray_al.compare.saved import COSTS, SavedPoint, needed_text, percent_text
from ray_al.core.shares import percent


class HasInterval(Protocol):
    """A mean with the ends of its interval, which are None for a single value."""

    @property
    def mean(self) -> float:
        """The mean."""

    @property
    def low(self) -> float | None:
        """The lower end."""

    @property
    def high(self) -> float | None:
        """The upper end."""


def interval_text(number: HasInterval | None, *, scale: float = 1.0, digits: int = 4) -> str:
    """Return `0.3012 [0.2950, 0.3071]`; the mean alone without an interval, a dash for None."""
    if number is None:
        return "-"
    text = f"{scale * number.mean:.{digits}f}"
    if number.low is None or number.high is None:
        return text
    return f"{text} [{scale * number.low:.{digits}f}, {scale * number.high:.{digits}f}]"


def comparison_text(comparison: Comparison) -> str:
    """Return the table of all strategies, with notes."""
    width = max(len(group.label) for group in comparison.groups)
    lines = [f"{'strategy':{width}s} seeds  {'final mIoU':26s} {'AUBC':26s} labels saved"]
    lines += [_group_text(group, width) for group in comparison.groups]
    if comparison.measure != "miou":
        lines.append(
            f"mIoU is that of the {MEASURES[comparison.measure]}; "
            "that of the models that choose: --measure miou"
        )
    lines += apart_lines(comparison.apart)
    if comparison.axis != "share":
        lines.append(
            f"compared by {AXES[comparison.axis]}: "
            "what a share of the regions is differs from run to run"
        )
    if comparison.too_few:
        lines.append(comparison.too_few)
    return "\n".join(lines)


def apart_lines(apart: Sequence[Excluded]) -> list[str]:
    """Return a line per run that is not comparable, or one for more than three of one reason."""
    runs: dict[str, list[str]] = {}
    for excluded in apart:
        runs.setdefault(excluded.reason, []).append(excluded.run)
    lines: list[str] = []
    for reason, names in runs.items():
        if len(names) > 3:
            lines.append(f"set apart: {len(names)} runs, such as {names[0]}: {reason}")
        else:
            lines += [f"set apart: {name}: {reason}" for name in names]
    return lines


def _group_text(group: GroupFacts, width: int) -> str:
    saved = f"{percent_text(group.saved)} %" if group.saved else "-"
    return (
        f"{group.label:{width}s} {len(group.seeds):5d}  {interval_text(group.final):26s} "
        f"{interval_text(group.aubc):26s} {saved}"
    )


def saved_text(comparison: Comparison) -> str:
    """Return labels saved by each strategy as tables; an empty text if none is compared."""
    saved = {group.label: group.saved for group in comparison.groups if group.saved}
    if not saved:
        return ""
    reference, is_share = comparison.reference, comparison.axis in SHARES
    width = max(len("strategy"), *map(len, saved))
    lines = [
        f"saved against {reference} at equal mIoU, in % "
        "[95 % interval over seeds; what was not reached stays in it]:",
        f"  {'strategy':{width}s} mIoU    {'labels':30s} {'pixels':30s} {'clicks':30s} minutes",
    ]
    for label, figure in saved.items():
        cells = [figure, *(figure.costs.get(cost) for cost in COSTS)]
        texts = [f"{percent_text(cell):30s}" for cell in cells]
        lines.append(f"  {label:{width}s} {figure.target:.4f}  {' '.join(texts)}".rstrip())
    lines.append(f"labels that {reference} needs for the same mIoU:")
    for label, figure in saved.items():
        lines += [f"  {label:{width}s} {_point_text(point, is_share)}" for point in figure.points]
    return "\n".join(lines)


def _point_text(point: SavedPoint, is_share: bool) -> str:
    budget = f"{percent(point.budget)} %" if is_share else f"{point.budget:.0f}"
    needed = needed_text(point.reference_budget, is_share)
    return f"{point.miou:.4f} with {budget}: {needed}; saved {percent_text(point.saved)} %"
