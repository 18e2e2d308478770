"""The files of a comparison by costs: a picture, a table as CSV, the facts as JSON, and a page."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import Environment
from markupsafe import Markup

from ray_al.compare.by_cost import (
    AXES,
    SHARES,
    CostComparison,
    CostCurve,
    CostRow,
    cost_sentence,
    cost_text,
)
from ray_al.compare.files import csv_text, png, write_files
from ray_al.core.storage import Storage
from ray_al.report.pictures import set_style, shown_in_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


COLORS = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2", "#db2777", "#65a30d")
"""One colour per granularity."""
MOST = 6
"""Lines that can be distinguished in the picture."""
MARGIN = 3.0
"""Points of % above the highest line."""
TICKS = (1, 2, 5, 10, 30, 60, 180, 600, 1800, 6000, 18_000, 60_000)
"""Minutes: up to 1,000 hours."""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Costs of labels - ray_al</title><style>
body{margin:0 auto;max-width:1120px;padding:32px 20px;background:#f8fafc;color:#0f172a;font:\
15px/1.5 system-ui,sans-serif}
pre{overflow-x:auto;background:#fff;border:1px solid #e2e8f0;border-radius:12px;padding:16px;\
font-size:13px}
svg{max-width:100%;height:auto}.soft{color:#64748b}</style></head><body>
<h1>What a share of the full score costs</h1>
{% if sentence %}<p>{{ sentence }}</p>{% endif %}
{{ picture }}
<p class="soft">Lines are means over seeds, bands 95 % bootstrap intervals of these means. Dashed: \
random.
Minutes: {{ facts.costs.text }}.</p>
<pre>{{ table }}</pre>
{% for row in facts.apart %}<p>set apart: {{ row.run }}: {{ row.reason }}</p>{% endfor %}
</body></html>
"""


@dataclass(frozen=True, kw_only=True)
class LineStyle:
    """The style of a line; `dashes` is matplotlib's line style."""

    width: float
    dashes: Any
    marker: str


RANDOM = LineStyle(width=1.6, dashes="--", marker="o")
STYLES = (
    LineStyle(width=2.2, dashes="-", marker="o"),
    LineStyle(width=1.8, dashes="-.", marker="s"),
    LineStyle(width=1.8, dashes=":", marker="^"),
    LineStyle(width=1.8, dashes=(0, (5, 1)), marker="D"),
)
"""Styles of the strategies of one granularity that choose."""


def write_costs(
    facts: CostComparison, out: str, more: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Write all files into the folder `out`, and return their places by name.

    Args:
        facts: with the model of labelling costs.
        more: plain values that come first in the JSON file.
    """
    storage, costs = Storage(out), facts.costs.text if facts.costs else ""
    values = {**(more or {}), **facts.json_values()}
    contents = {
        "costs.csv": csv_text([_csv_row(row) for row in facts.rows]).encode(),
        "costs.json": json.dumps(values, indent=1, allow_nan=False).encode(),
    }
    picture = ""
    if facts.curves:
        figure = chart(facts)
        vector = io.StringIO()
        figure.savefig(vector, format="svg", metadata={"Date": None})
        picture = vector.getvalue()[vector.getvalue().index("<svg") :]
        contents |= {"costs.png": png(figure), "costs.svg": picture.encode()}
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(PAGE)
    page = template.render(
        facts=facts,
        picture=Markup(picture),
        table=cost_text(facts, costs),
        sentence=cost_sentence(facts),
    )
    contents["costs.html"] = page.encode()
    write_files(storage, contents)
    return {name: storage.uri(name) for name in contents}


def _csv_row(row: CostRow) -> dict[str, Any]:
    """Return the columns of a row; empty if a number is not known.

    Columns ending in `_low` and `_high` are the ends of 95 % intervals.
    """
    columns: dict[str, Any] = {
        "strategy": row.label,
        "seeds": len(row.seeds),
        "share_of_full": row.share,
    }
    for suffix, numbers in (("", row.budgets), ("_saved", row.saved)):
        for axis in AXES:
            number = numbers.get(axis)
            name = f"{axis}{suffix}"
            columns[name] = number.value if number else None
            columns[f"{name}_low"] = number.low if number else None
            columns[f"{name}_high"] = number.high if number else None
    return columns


def picked(facts: CostComparison) -> list[CostCurve]:
    """Return the curves of the picture.

    If there are many, these are for each granularity the random one, and the one that needs the
    fewest minutes for 90 % of the full score.
    """
    if len(facts.curves) <= MOST:
        return list(facts.curves)
    needed = {
        row.label: row.budgets["minutes"].value
        for row in facts.rows
        if row.share == 0.9 and "minutes" in row.budgets
    }
    kept = []
    for name in dict.fromkeys(curve.granularity for curve in facts.curves):
        same = [curve for curve in facts.curves if curve.granularity == name]
        kept += [curve for curve in same if curve.is_random]
        kept += sorted(
            (curve for curve in same if not curve.is_random),
            key=lambda curve: (needed.get(curve.label) or float("inf"), -curve.mean[-1]),
        )[:1]
    return kept


def chart(facts: CostComparison) -> "Figure":
    """Draw the share of the full score against minutes on a logarithmic axis.

    The picture is for the first screen of a page. Its background is white, so it can be read on
    pages of any colour.
    """
    # Imported here: matplotlib takes half a second, which an export saves.
    from matplotlib.figure import Figure

    set_style()
    curves = picked(facts)
    figure = Figure(figsize=(8.2, 4.6), layout="constrained", facecolor="white")
    plot = figure.subplots()
    for index, name in enumerate(dict.fromkeys(curve.granularity for curve in curves)):
        same = [curve for curve in curves if curve.granularity == name]
        for number, curve in enumerate(sorted(same, key=lambda curve: curve.is_random)):
            style = RANDOM if curve.is_random else STYLES[number % len(STYLES)]
            _line(plot, curve, COLORS[index % len(COLORS)], style)
    for share in SHARES:
        plot.axhline(100 * share, color="#94a3b8", linewidth=0.8, zorder=0)
    ends = [minutes for curve in curves for minutes in (curve.minutes[0], curve.minutes[-1])]
    _set_time_axis(plot, min(ends) / 1.15, max(ends) * 1.15)
    plot.set_ylim(top=min(101.0, max(100 * max(curve.mean) for curve in curves) + MARGIN))
    plot.set_xlabel("time of labelling (log)", fontsize=11)
    plot.set_ylabel("% of the mIoU of all labels", fontsize=11)
    plot.grid(alpha=0.2)
    _add_legend(figure, min(4, len(curves)))
    return figure


def _add_legend(figure: "Figure", most_columns: int) -> None:
    """Add a legend above the axes, in as many columns as the figure is wide enough for."""
    for columns in range(most_columns, 0, -1):
        legend = figure.legend(
            frameon=False, fontsize=10, ncols=columns, loc="outside upper center"
        )
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def _set_time_axis(plot: "Axes", low: float, high: float) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    plot.set_xscale("log")
    plot.set_xlim(low, high)
    plot.xaxis.set_major_locator(FixedLocator(TICKS))
    plot.xaxis.set_major_formatter(FuncFormatter(duration))
    plot.xaxis.set_minor_locator(NullLocator())


def _line(plot: "Axes", curve: CostCurve, color: str, style: LineStyle) -> None:
    plot.plot(
        curve.minutes,
        [100 * value for value in curve.mean],
        color=color,
        linewidth=style.width,
        linestyle=style.dashes,
        marker=style.marker,
        markersize=4,
        label=shown_in_legend(curve.label),
    )
    low = [100 * value for value in curve.low if value is not None]
    high = [100 * value for value in curve.high if value is not None]
    if low and high:
        plot.fill_between(curve.minutes, low, high, color=color, alpha=0.14, linewidth=0)


def duration(minutes: float, _: object = None) -> str:
    """Return minutes as the text of a tick: `30 min` or `5 h`."""
    return f"{minutes:g} min" if minutes < 60 else f"{minutes / 60:.3g} h"
