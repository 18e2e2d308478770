"""The pictures of a comparison, as matplotlib figures."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ray_al.report.pictures import set_style, shown
from ray_al.sweep.compare import AXES, SHARES

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
"""The reference first, in grey."""
CHARACTER, AXIS = 0.085, 4.0
"""Inches: the width of a letter at 9 points, and of the axis of ranks."""
FEW = 6
"""More strategies than these have no bands, and their legend stands beside the picture."""


def charts(facts: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """(file name, caption, figure) of each picture that the facts allow."""
    groups = facts["groups"]
    for axis, title in AXES.items():
        if not all(axis in group["curves"] for group in groups):
            continue
        yield (
            f"curve_{axis}",
            f"mIoU against {title}; lines are means over seeds"
            + (
                ", bands 95 % bootstrap intervals"
                if len(groups) <= FEW
                else "; their intervals stand in the tables"
            ),
            _curves(groups, axis, title, False),
        )
    axis = facts["axis"]
    yield (
        f"curve_{axis}_log",
        f"mIoU against {AXES[axis]} on a logarithmic axis",
        _curves(groups, axis, AXES[axis], True),
    )
    if any(group["saved"] for group in groups):
        yield (
            "labels_saved",
            f"Labels saved against {facts['reference']} at equal mIoU (mean curves)",
            _saved(groups, facts["reference"]),
        )
    if facts["tests"]:
        caption = "Share of budgets at which the row is significantly better than the column (paired t-test over seeds, Holm)"
        yield "penalties", caption, _penalties(facts["tests"])
        yield (
            "ranks",
            "Mean ranks by area under the curve (1 is best); strategies under one bar are not told apart (Nemenyi, 5 %)",
            _ranks(facts["tests"]),
        )


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    set_style()
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    return figure, figure.subplots()


def _style(index: int) -> dict[str, Any]:
    """Of the line of a strategy; colours come again in dashes."""
    return {
        "linewidth": 2,
        "color": COLORS[index % len(COLORS)],
        "linestyle": ("-", "--", ":", "-.")[index // len(COLORS) % 4],
    }


def _legend(figure: Any, plot: Any, number: int) -> None:
    if number <= FEW:
        plot.legend(frameon=False, fontsize=9)
    else:
        figure.set_figwidth(11)
        figure.legend(frameon=False, fontsize=9, loc="outside right upper")


def _curves(groups: list[dict[str, Any]], axis: str, title: str, log: bool) -> Any:
    figure, plot = _figure(8, 4.2)
    scale = 100 if axis in SHARES else 1
    for index, group in enumerate(groups):
        curve, style = group["curves"][axis], _style(index)
        x = scale * np.asarray(curve["x"])
        plot.plot(
            x,
            curve["mean"],
            marker="o",
            markersize=4,
            label=f"{shown(group['label'])} (n={len(group['seeds'])})",
            **style,
        )
        if curve["low"][0] is not None and len(groups) <= FEW:
            plot.fill_between(
                x, curve["low"], curve["high"], color=style["color"], alpha=0.13, linewidth=0
            )
    if log:
        from matplotlib.ticker import FuncFormatter, NullFormatter

        plot.set_xscale("log")
        plot.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
        plot.xaxis.set_minor_formatter(NullFormatter())
        plot.set_xticks(
            sorted(
                {
                    round(float(scale * value), 3)
                    for group in groups
                    for value in group["curves"][axis]["x"]
                }
            )[:12]
        )
    plot.set_xlabel(title + (" (%)" if axis in SHARES else "") + (", log" if log else ""))
    plot.set_ylabel("validation mIoU")
    plot.grid(alpha=0.25)
    _legend(figure, plot, len(groups))
    return figure


def _saved(groups: list[dict[str, Any]], reference: str) -> Any:
    figure, plot = _figure(8, 3.6)
    for index, group in enumerate(groups):
        if group["saved"]:
            curve = group["saved"]["curve"]
            values = [np.nan if value is None else 100 * value for value in curve["saved"]]
            plot.plot(curve["miou"], values, label=shown(group["label"]), **_style(index))
    plot.axhline(0, color="#64748b", linewidth=1)
    plot.set_xlabel("validation mIoU that both reach")
    plot.set_ylabel(f"labels saved against {shown(reference)} (%)")
    plot.grid(alpha=0.25)
    _legend(figure, plot, len(groups))
    return figure


def _penalties(tests: dict[str, Any]) -> Any:
    labels, wins = [shown(label) for label in tests["labels"]], np.asarray(tests["wins"])
    size = 1.6 + 0.55 * len(labels)
    figure, plot = _figure(size + 1.5, size)
    image = plot.imshow(wins, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(wins):
        for j, value in enumerate(row):
            text = "-" if i == j else f"{value:.2f}"
            plot.text(
                j,
                i,
                text,
                ha="center",
                va="center",
                color="white" if value > 0.6 else "black",
                fontsize=9,
            )
    plot.set_xticks(range(len(labels)), labels, rotation=35, ha="right")
    plot.set_yticks(range(len(labels)), labels)
    for spine in plot.spines.values():
        spine.set_visible(False)
    figure.colorbar(image, ax=plot, shrink=0.8)
    return figure


def _ranks(tests: dict[str, Any]) -> Any:
    """A critical-difference picture (Demsar, 2006)."""
    labels, ranks, critical = (
        [shown(label) for label in tests["labels"]],
        np.asarray(tests["ranks"]),
        tests["critical"],
    )
    order = np.argsort(ranks)
    bars = list(_cliques(ranks[order], critical))
    side = CHARACTER * (max(map(len, labels)) + len(" (10.00)") + 2)
    figure, plot = _figure(AXIS + 2 * side, 1.3 + 0.28 * len(labels) + 0.14 * len(bars))
    top = 0.0
    plot.plot([1, len(labels)], [top, top], color="black", linewidth=1)
    for tick in range(1, len(labels) + 1):
        plot.plot([tick, tick], [top, top + 0.12], color="black", linewidth=1)
        plot.text(tick, top + 0.18, str(tick), ha="center", va="bottom")
    length = min(critical, len(labels) - 1.0)
    plot.plot([1, 1 + length], [top + 0.75, top + 0.75], color="black", linewidth=2)
    note = f"critical difference {critical:.2f}" + (
        " (longer than the axis)" if critical > len(labels) - 1 else ""
    )
    plot.text(1 + length / 2, top + 0.8, note, ha="center", va="bottom", fontsize=9)
    for level, (first, last) in enumerate(bars):
        y = -0.16 - 0.14 * level
        plot.plot(
            [ranks[order[first]] - 0.03, ranks[order[last]] + 0.03],
            [y, y],
            color="#dc2626",
            linewidth=3,
            solid_capstyle="round",
        )
    begin = -0.16 - 0.14 * len(bars)
    middle = (len(labels) + 1) // 2
    for place, index in enumerate(order):
        left = place < middle
        row = place if left else len(order) - 1 - place
        y, edge = begin - 0.2 - 0.3 * row, 0.85 if left else len(labels) + 0.15
        plot.plot([ranks[index], ranks[index], edge], [top, y, y], color="#64748b", linewidth=1)
        plot.text(
            edge + (-0.05 if left else 0.05),
            y,
            f"{labels[index]} ({ranks[index]:.2f})",
            ha="right" if left else "left",
            va="center",
            fontsize=9,
        )
    beside = side * (len(labels) - 1) / AXIS
    plot.set_xlim(1 - beside, len(labels) + beside)
    plot.axis("off")
    return figure


def _cliques(ranks: np.ndarray, critical: float) -> Iterator[tuple[int, int]]:
    """Longest runs of sorted ranks that lie within `critical` of each other."""
    end = -1
    for first in range(len(ranks)):
        last = int(np.flatnonzero(ranks - ranks[first] <= critical)[-1])
        if last > first and last > end:
            yield first, last
            end = last
