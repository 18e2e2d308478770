"""The pictures of a comparison, as matplotlib figures.

matplotlib is imported by the functions that draw: it takes half a second, which an export saves."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ray_al.compare.facts import Comparison, GroupFacts
from ray_al.compare.rank_chart import draw_ranks
from ray_al.compare.run_result import AXES, SHARES
from ray_al.compare.significance import StrategyTests
from ray_al.report.pictures import set_style, shown, shown_in_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


COLORS = (
    "#64748b",
    "#2563eb",
    "#f59e0b",
    "#059669",
    "#dc2626",
    "#7c3aed",
    "#0891b2",
    "#db2777",
    "#65a30d",
    "#92400e",
)
"""Colours of strategies; the reference comes first, in grey."""
DASHES = ("-", "--", ":", "-.")
FEW = 6
"""With more strategies than these, there are no bands, and the legend is outside the axes."""
MAX_TICKS = 12
LEGIBLE_ON_DARK = 0.6
"""Shares above this have a cell so dark that their number is white."""


class Picture(NamedTuple):
    """One picture: the name of its file, its caption, and a matplotlib figure."""

    name: str
    caption: str
    figure: "Figure"


def charts(comparison: Comparison) -> Iterator[Picture]:
    """Yield each picture that the facts allow."""
    groups, axis = comparison.groups, comparison.axis
    bands = (
        ", bands 95 % bootstrap intervals"
        if len(groups) <= FEW
        else "; their intervals stand in the tables"
    )
    for name, title in AXES.items():
        if all(name in group.curves for group in groups):
            caption = f"mIoU against {title}; lines are means over seeds{bands}"
            yield Picture(f"curve_{name}", caption, _curves(groups, name, log=False))
    caption = f"mIoU against {AXES[axis]} on a logarithmic axis"
    yield Picture(f"curve_{axis}_log", caption, _curves(groups, axis, log=True))
    if comparison.reference is not None and any(group.saved for group in groups):
        caption = f"Labels saved against {comparison.reference} at equal mIoU (mean curves)"
        yield Picture("labels_saved", caption, _saved(groups, comparison.reference))
    if comparison.tests:
        yield Picture(
            "penalties",
            "Share of budgets at which the row is significantly better than the column "
            "(paired t-test over seeds, Holm)",
            _penalties(comparison.tests),
        )
        yield Picture(
            "ranks",
            "Mean ranks by area under the curve (1 is best); strategies under one bar are not told "
            "apart (Nemenyi, 5 %)",
            draw_ranks(comparison.tests),
        )


def _figure(width: float, height: float) -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure

    set_style()
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    return figure, figure.subplots()


def _style(index: int) -> dict[str, Any]:
    """Return the style of a strategy's line; once all colours are used, lines are dashed."""
    return {
        "linewidth": 2,
        "color": COLORS[index % len(COLORS)],
        "linestyle": DASHES[index // len(COLORS) % len(DASHES)],
    }


def _legend(figure: "Figure", plot: "Axes", number: int) -> None:
    if number <= FEW:
        plot.legend(frameon=False, fontsize=9)
    else:
        figure.set_figwidth(11)
        figure.legend(frameon=False, fontsize=9, loc="outside right upper")


def _curves(groups: Sequence[GroupFacts], axis: str, *, log: bool) -> "Figure":
    figure, plot = _figure(8, 4.2)
    scale = 100 if axis in SHARES else 1
    for index, group in enumerate(groups):
        curve, style = group.curves[axis], _style(index)
        x = scale * np.asarray(curve.x)
        label = shown_in_legend(f"{group.label} (n={len(group.seeds)})")
        plot.plot(x, curve.mean, marker="o", markersize=4, label=label, **style)
        if curve.low[0] is not None and len(groups) <= FEW:
            low, high = np.asarray(curve.low, float), np.asarray(curve.high, float)
            plot.fill_between(x, low, high, color=style["color"], alpha=0.13, linewidth=0)
    if log:
        _set_log_axis(plot, [scale * value for group in groups for value in group.curves[axis].x])
    plot.set_xlabel(AXES[axis] + (" (%)" if axis in SHARES else "") + (", log" if log else ""))
    plot.set_ylabel("validation mIoU")
    plot.grid(alpha=0.25)
    _legend(figure, plot, len(groups))
    return figure


def _set_log_axis(plot: "Axes", budgets: Sequence[float]) -> None:
    """Make the horizontal axis logarithmic, with ticks at the lowest budgets."""
    from matplotlib.ticker import NullFormatter

    plot.set_xscale("log")
    plot.xaxis.set_minor_formatter(NullFormatter())
    ticks: dict[str, float] = {}
    for budget in sorted(map(float, budgets)):
        ticks.setdefault(f"{budget:.0f}" if budget >= 100 else f"{budget:.2g}", budget)
    plot.set_xticks(list(ticks.values())[:MAX_TICKS], list(ticks)[:MAX_TICKS])


def _saved(groups: Sequence[GroupFacts], reference: str) -> "Figure":
    figure, plot = _figure(8, 3.6)
    for index, group in enumerate(groups):
        if group.saved:
            curve = group.saved.curve
            values = [np.nan if value is None else 100 * value for value in curve.saved]
            plot.plot(curve.miou, values, label=shown_in_legend(group.label), **_style(index))
    plot.axhline(0, color="#64748b", linewidth=1)
    plot.set_xlabel("validation mIoU that both reach")
    plot.set_ylabel(f"labels saved against {shown(reference)} (%)")
    plot.grid(alpha=0.25)
    _legend(figure, plot, len(groups))
    return figure


def _penalties(tests: StrategyTests) -> "Figure":
    """Draw nnActive's penalty matrix."""
    labels, wins = [shown(label) for label in tests.labels], np.asarray(tests.wins)
    size = 1.6 + 0.55 * len(labels)
    figure, plot = _figure(size + 1.5, size)
    image = plot.imshow(wins, cmap="Blues", vmin=0, vmax=1)
    for (i, j), value in np.ndenumerate(wins):
        text = "-" if i == j else f"{value:.2f}"
        color = "white" if value > LEGIBLE_ON_DARK else "black"
        plot.text(j, i, text, ha="center", va="center", color=color, fontsize=9)
    plot.set_xticks(range(len(labels)), labels, rotation=35, ha="right")
    plot.set_yticks(range(len(labels)), labels)
    for spine in plot.spines.values():
        spine.set_visible(False)
    figure.colorbar(image, ax=plot, shrink=0.8)
    return figure
