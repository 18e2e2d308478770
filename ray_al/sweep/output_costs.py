"""The files of a comparison by costs: the picture, the table as CSV, the facts as JSON, and a page with all of it."""

import csv
import io
import json
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from ray_al.core.storage import Storage
from ray_al.driver.lease import STALE_S, Lease
from ray_al.report.pictures import set_style, shown
from ray_al.sweep.granularity import AXES, SHARES, cost_sentence, cost_text

COLORS = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2", "#db2777", "#65a30d")
"""A granularity each."""
MOST = 6
"""Lines in the picture that can be told apart."""
STYLES = ((2.2, "-", "o"), (1.8, "-.", "s"), (1.8, ":", "^"), (1.8, (0, (5, 1)), "D"))
"""Width, dashes and marker of the chosen ones of one granularity."""
PNG_DPI = 160
MARGIN = 3.0
"""Points of % above the highest line."""
TICKS = (1, 2, 5, 10, 30, 60, 180, 600, 1800, 6000, 18_000, 60_000)
"""Minutes: up to 1,000 hours."""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Costs of labels - ray_al</title><style>
body{margin:0 auto;max-width:1120px;padding:32px 20px;background:#f8fafc;color:#0f172a;font:15px/1.5 system-ui,sans-serif}
pre{overflow-x:auto;background:#fff;border:1px solid #e2e8f0;border-radius:12px;padding:16px;font-size:13px}
svg{max-width:100%;height:auto}.soft{color:#64748b}</style></head><body>
<h1>What a share of the full score costs</h1>
{% if sentence %}<p>{{ sentence }}</p>{% endif %}
{{ picture }}
<p class="soft">Lines are means over seeds, bands 95 % bootstrap intervals of these means. Dashed: random.
Minutes: {{ facts.costs.text }}.</p>
<pre>{{ table }}</pre>
{% for row in facts.apart %}<p>set apart: {{ row.run }}: {{ row.reason }}</p>{% endfor %}
</body></html>
"""


def write_costs(facts: dict[str, Any], out: str) -> dict[str, str]:
    """Write all files into the folder `out` and return their places by name."""
    storage, costs = Storage(out), facts["costs"]["text"]
    contents = {
        "costs.csv": _csv(facts).encode(),
        "costs.json": json.dumps(facts, indent=1, allow_nan=False).encode(),
    }
    picture = ""
    if facts["curves"]:
        figure = chart(facts)
        buffer, vector = io.BytesIO(), io.StringIO()
        figure.savefig(buffer, format="png", dpi=PNG_DPI)
        figure.savefig(vector, format="svg", metadata={"Date": None})
        picture = vector.getvalue()[vector.getvalue().index("<svg") :]
        contents |= {"costs.png": buffer.getvalue(), "costs.svg": picture.encode()}
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(PAGE)
    page = template.render(
        facts=facts,
        picture=Markup(picture),
        table=cost_text(facts, costs),
        sentence=cost_sentence(facts),
    )
    contents["costs.html"] = page.encode()
    with Lease(storage, "compare.lease.json", held="writes a comparison there").acquire(
        patience_s=2 * STALE_S
    ):
        for name, data in contents.items():
            storage.replace(name, data)
    return {name: storage.uri(name) for name in contents}


def _csv(facts: dict[str, Any]) -> str:
    """A row a strategy and share; empty where a number is not known, `_low` and `_high` the ends of 95 % intervals."""
    rows = []
    for row in facts["rows"]:
        flat: dict[str, Any] = {
            "strategy": row["label"],
            "seeds": len(row["seeds"]),
            "share_of_full": row["share"],
        }
        for suffix, some in (("", row["budgets"]), ("_saved", row["saved"])):
            for axis in AXES:
                for end, key in (("", "value"), ("_low", "low"), ("_high", "high")):
                    flat[f"{axis}{suffix}{end}"] = some[axis][key] if axis in some else None
        rows.append(flat)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()}
        for row in rows
    )
    return buffer.getvalue()


def picked(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """The curves of the picture: all, or of many the random one of each granularity and the one that needs the fewest minutes for 90 %."""
    curves = facts["curves"]
    if len(curves) <= MOST:
        return list(curves)
    needed = {
        row["label"]: row["budgets"]["minutes"]["value"]
        for row in facts["rows"]
        if row["share"] == 0.9 and "minutes" in row["budgets"]
    }
    kept = []
    for name in dict.fromkeys(curve["granularity"] for curve in curves):
        same = [curve for curve in curves if curve["granularity"] == name]
        chosen = [curve for curve in same if not curve["is_random"]]
        kept += [curve for curve in same if curve["is_random"]]
        kept += sorted(
            chosen,
            key=lambda curve: (needed.get(curve["label"]) or float("inf"), -curve["mean"][-1]),
        )[:1]
    return kept


def chart(facts: dict[str, Any]) -> Any:
    """Share of the full score against minutes on a logarithmic axis, for the first screen of a page.

    Its background is white, so that it can be read on pages of any colour.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    set_style()
    curves = picked(facts)
    figure = Figure(figsize=(8.2, 4.6), layout="constrained", facecolor="white")
    plot = figure.subplots()
    names = list(dict.fromkeys(curve["granularity"] for curve in curves))
    for index, name in enumerate(names):
        same = [curve for curve in curves if curve["granularity"] == name]
        for number, curve in enumerate(sorted(same, key=lambda curve: curve["is_random"])):
            style = (1.6, "--", "o") if curve["is_random"] else STYLES[number % len(STYLES)]
            _line(plot, curve, COLORS[index % len(COLORS)], style)
    for share in SHARES:
        plot.axhline(100 * share, color="#94a3b8", linewidth=0.8, zorder=0)
    limits = [edge for curve in curves for edge in (curve["minutes"][0], curve["minutes"][-1])]
    plot.set_xscale("log")
    plot.set_xlim(min(limits) / 1.15, max(limits) * 1.15)
    plot.xaxis.set_major_locator(FixedLocator(TICKS))
    plot.xaxis.set_major_formatter(FuncFormatter(duration))
    plot.xaxis.set_minor_locator(NullLocator())
    plot.set_ylim(top=min(101.0, max(100 * max(curve["mean"]) for curve in curves) + MARGIN))
    plot.set_xlabel("time of labelling (log)", fontsize=11)
    plot.set_ylabel("% of the mIoU of all labels", fontsize=11)
    plot.grid(alpha=0.2)
    figure.legend(frameon=False, fontsize=10, ncols=min(4, len(curves)), loc="outside upper center")
    return figure


def _line(plot: Any, curve: dict[str, Any], color: str, style: tuple[float, Any, str]) -> None:
    y = [100 * value for value in curve["mean"]]
    width, dashes, marker = style
    plot.plot(
        curve["minutes"],
        y,
        color=color,
        linewidth=width,
        linestyle=dashes,
        marker=marker,
        markersize=4,
        label=shown(curve["label"]),
    )
    if curve["low"][0] is not None:
        low, high = ([100 * value for value in curve[end]] for end in ("low", "high"))
        plot.fill_between(curve["minutes"], low, high, color=color, alpha=0.14, linewidth=0)


def duration(minutes: float, _: Any = None) -> str:
    """`30 min`, `5 h`: minutes for an axis."""
    return f"{minutes:g} min" if minutes < 60 else f"{minutes / 60:.3g} h"
