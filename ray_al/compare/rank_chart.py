"""A critical-difference picture of mean ranks (Demsar, JMLR 2006)."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ray_al.compare.significance import StrategyTests
from ray_al.report.pictures import set_style, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


CHARACTER, AXIS = 0.085, 4.0
"""Inches: the width of a letter at 9 points, and of the axis of ranks."""
BAR_STEP, ROW_STEP = 0.14, 0.3
"""Distances between bars, and between labels, along the vertical axis."""
FIRST_BAR, FIRST_ROW = -0.16, -0.2
RULER = 0.75
"""Height of the ruler of the critical difference above the axis."""


def draw_ranks(tests: StrategyTests) -> "Figure":
    """Draw the mean ranks; a bar joins strategies whose ranks do not differ significantly."""
    # Imported here: matplotlib takes half a second, which an export saves.
    from matplotlib.figure import Figure

    labels, ranks = [shown(label) for label in tests.labels], np.asarray(tests.ranks)
    order = np.argsort(ranks)
    bars = list(_cliques(ranks[order], tests.critical))
    side = CHARACTER * (max(map(len, labels)) + len(" (10.00)") + 2)
    set_style()
    figure = Figure(
        figsize=(AXIS + 2 * side, 1.3 + 0.28 * len(labels) + 0.14 * len(bars)),
        layout="constrained",
        facecolor="white",
    )
    plot = figure.subplots()
    _draw_axis(plot, len(labels))
    _draw_ruler(plot, tests.critical, len(labels))
    _draw_bars(plot, [(ranks[order[first]], ranks[order[last]]) for first, last in bars])
    begin = FIRST_BAR - BAR_STEP * len(bars)
    _draw_labels(plot, [labels[index] for index in order], ranks[order], begin)
    margin = side * (len(labels) - 1) / AXIS
    plot.set_xlim(1 - margin, len(labels) + margin)
    plot.axis("off")
    return figure


def _draw_axis(plot: "Axes", number: int) -> None:
    plot.plot([1, number], [0.0, 0.0], color="black", linewidth=1)
    for tick in range(1, number + 1):
        plot.plot([tick, tick], [0.0, 0.12], color="black", linewidth=1)
        plot.text(tick, 0.18, str(tick), ha="center", va="bottom")


def _draw_ruler(plot: "Axes", critical: float, number: int) -> None:
    length = min(critical, number - 1.0)
    plot.plot([1, 1 + length], [RULER, RULER], color="black", linewidth=2)
    note = f"critical difference {critical:.2f}"
    if critical > number - 1:
        note += " (longer than the axis)"
    plot.text(1 + length / 2, 0.8, note, ha="center", va="bottom", fontsize=9)


def _draw_bars(plot: "Axes", bars: Sequence[tuple[float, float]]) -> None:
    for level, (first, last) in enumerate(bars):
        y = FIRST_BAR - BAR_STEP * level
        plot.plot(
            [first - 0.03, last + 0.03],
            [y, y],
            color="#dc2626",
            linewidth=3,
            solid_capstyle="round",
        )


def _draw_labels(plot: "Axes", labels: Sequence[str], ranks: np.ndarray, begin: float) -> None:
    """Write the better half of the strategies on the left, the others on the right.

    Args:
        labels: sorted by rank.
        ranks: of the labels.
        begin: height of the lowest bar.
    """
    number = len(labels)
    middle = (number + 1) // 2
    for place, (label, rank) in enumerate(zip(labels, ranks, strict=True)):
        left = place < middle
        row = place if left else number - 1 - place
        y, edge = begin + FIRST_ROW - ROW_STEP * row, 0.85 if left else number + 0.15
        plot.plot([rank, rank, edge], [0.0, y, y], color="#64748b", linewidth=1)
        plot.text(
            edge + (-0.05 if left else 0.05),
            y,
            f"{label} ({rank:.2f})",
            ha="right" if left else "left",
            va="center",
            fontsize=9,
        )


def _cliques(ranks: np.ndarray, critical: float) -> Iterator[tuple[int, int]]:
    """Yield the first and last place of the longest runs of ranks within `critical` of each other.

    Args:
        ranks: ascending.
    """
    end = -1
    for first in range(len(ranks)):
        last = int(np.flatnonzero(ranks - ranks[first] <= critical)[-1])
        if last > first and last > end:
            yield first, last
            end = last
