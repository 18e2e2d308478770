"""The files of a comparison: a page, two CSV files, a LaTeX table, the facts as JSON, pictures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from ray_al.compare.by_budget import MEASURES
from ray_al.compare.charts import charts
from ray_al.compare.endpoints import p_text
from ray_al.compare.facts import Comparison, GroupFacts
from ray_al.compare.files import csv_text, png, write_files
from ray_al.compare.run_result import AXES, SHARES
from ray_al.compare.saved import Saved, needed_text, percent_text
from ray_al.compare.text import HasInterval, interval_text
from ray_al.core.shares import percent
from ray_al.core.storage import Storage
from ray_al.report.pictures import svg

LATEX = {
    **{sign: rf"\{sign}" for sign in "_$%&#{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
"""Replacements of characters that LaTeX reads as commands."""
ENDS = (("", "mean"), ("_low", "low"), ("_high", "high"))
"""Suffixes of the columns of a number, and the attributes that they hold."""


@dataclass(frozen=True, kw_only=True)
class PagePicture:
    """A picture inside the page."""

    name: str
    caption: str
    svg: Markup


def write_comparison(
    comparison: Comparison, out: str, more: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Write all files into the folder `out`, and return the places of all but the pictures by name.

    Args:
        more: plain values that come first in the JSON file.
    """
    storage = Storage(out)
    contents: dict[str, bytes] = {}
    pictures = []
    for name, caption, figure in charts(comparison):
        contents[f"{name}.png"] = png(figure)
        text = svg(figure)
        contents[f"{name}.svg"] = ('<?xml version="1.0" encoding="utf-8"?>\n' + text).encode()
        pictures.append(PagePicture(name=name, caption=caption, svg=Markup(text)))
    files = {
        "summary.csv": csv_text(summary_rows(comparison)),
        "curves.csv": csv_text(curve_rows(comparison)),
        "table.tex": latex_table(comparison),
        "compare.json": json.dumps(
            {**(more or {}), **comparison.json_values()}, indent=1, allow_nan=False
        ),
        "compare.html": _page(comparison, pictures),
    }
    contents.update((name, content.encode()) for name, content in files.items())
    write_files(storage, contents)
    return {name: storage.uri(name) for name in files}


def summary_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return one row per strategy.

    Columns ending in `_low` and `_high` are the ends of 95 % intervals, empty if unknown.
    """
    return [_summary_row(group, comparison.measure) for group in comparison.groups]


def _summary_row(group: GroupFacts, measure: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "strategy": group.label,
        "seeds": len(group.seeds),
        "measure": measure,
        **_columns("final_miou", group.final),
        **_columns("aubc", group.aubc),
        **_columns("aubc_log", group.aubc_log),
        **_columns("share_of_full_own", group.full_own),
        **_columns("share_of_full_best", group.full_best),
        **_columns("rare_miou", group.rare_miou),
    }
    for point in group.at:
        row.update(_columns(f"miou_at_{point.budget:g}", point))
    row.update(_saved_columns(group.saved))
    row.update(
        labelled_pixels=group.pixels,
        labelled_clicks=group.clicks,
        opened_images=group.images,
        labelling_minutes=group.minutes,
        seconds=group.seconds,
    )
    for name, share in group.labelled_classes.items():
        row[f"labelled_share_{name}"] = share
    return row


def _columns(name: str, number: HasInterval | None) -> dict[str, float | None]:
    """Return the columns of a mean and its ends."""
    return {name + suffix: getattr(number, key) if number else None for suffix, key in ENDS}


def _saved_columns(saved: Saved | None) -> dict[str, float | None]:
    """Return the columns of labels saved, and of each cost saved."""
    if saved is None:
        return {f"labels_saved{suffix}": None for suffix, _ in ENDS}
    numbers = {"labels": saved, **saved.costs}
    columns: dict[str, float | None] = {}
    for name, number in numbers.items():
        columns[f"{name}_saved"] = number.value
        columns[f"{name}_saved_low"] = number.low
        columns[f"{name}_saved_high"] = number.high
    return columns


def curve_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return one row per strategy, axis and budget."""
    rows = []
    for group in comparison.groups:
        for axis, curve in group.curves.items():
            points = zip(curve.x, curve.mean, curve.low, curve.high, strict=True)
            for x, mean, low, high in points:
                rows.append(
                    {
                        "strategy": group.label,
                        "axis": axis,
                        "budget": x,
                        "miou": mean,
                        "miou_low": low,
                        "miou_high": high,
                    }
                )
    return rows


def latex_table(comparison: Comparison) -> str:
    """Return final mIoU, area and labels saved as a table for the LaTeX package booktabs."""
    best = max(group.final.mean for group in comparison.groups)
    return "\n".join(
        [
            r"\begin{tabular}{lrrrr}",
            r"\toprule",
            r"strategy & seeds & final mIoU & AUBC & labels saved \\",
            r"\midrule",
            *(_latex_row(group, best) for group in comparison.groups),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _latex_row(group: GroupFacts, best: float) -> str:
    final = _latex(group.final)
    if group.final.mean == best:
        final = rf"\textbf{{{final}}}"
    saved = group.saved.value if group.saved else None
    shown = "--" if saved is None else rf"{100 * saved:.0f}\,\%"
    label = "".join(LATEX.get(sign, sign) for sign in group.label)
    return rf"{label} & {len(group.seeds)} & {final} & {_latex(group.aubc)} & {shown} \\"


def _latex(number: HasInterval) -> str:
    text = f"{100 * number.mean:.2f}"
    if number.low is None or number.high is None:
        return text
    return rf"{text}\,[{100 * number.low:.2f}, {100 * number.high:.2f}]"


def _page(comparison: Comparison, pictures: Sequence[PagePicture]) -> str:
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["interval"] = interval_text
    environment.filters["percent"] = percent_text
    environment.filters["share"] = percent
    environment.filters["needed"] = needed_text
    environment.filters["p_value"] = p_text
    source = resources.files("ray_al.compare").joinpath("compare.html.j2").read_text()
    return environment.from_string(source).render(
        facts=comparison,
        pictures=pictures,
        axis_title=AXES[comparison.axis],
        measure_title=MEASURES[comparison.measure],
        is_share=comparison.axis in SHARES,
    )
