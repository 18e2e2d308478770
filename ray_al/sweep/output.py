"""The files of a comparison: one page, two CSV files, a LaTeX table, the facts as JSON, and every picture as PNG and SVG."""

import csv
import io
import json
from importlib import resources
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from ray_al.core.storage import Storage
from ray_al.driver.lease import STALE_S, Lease
from ray_al.report.pictures import svg
from ray_al.sweep.charts import charts
from ray_al.sweep.compare import AXES, MEASURES, SHARES, interval_text
from ray_al.sweep.endpoint import p_text
from ray_al.sweep.reach import estimate_text
from ray_al.sweep.saved import needed_text

PNG_DPI = 160
LATEX = {
    **{sign: rf"\{sign}" for sign in "_$%&#{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
"""How signs of a name that LaTeX reads as commands are written."""


def write_comparison(facts: dict[str, Any], out: str) -> dict[str, str]:
    """Write all files into the folder `out` and return their places by name. Of two processes one writes after the other: nothing is mixed."""
    storage = Storage(out)
    contents: dict[str, bytes] = {}
    pictures = []
    for name, caption, figure in charts(facts):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=PNG_DPI)
        contents[f"{name}.png"] = buffer.getvalue()
        text = svg(figure)
        contents[f"{name}.svg"] = ('<?xml version="1.0" encoding="utf-8"?>\n' + text).encode()
        pictures.append({"name": name, "caption": caption, "svg": Markup(text)})
    files = {
        "summary.csv": _csv(summary_rows(facts)),
        "curves.csv": _csv(curve_rows(facts)),
        "table.tex": latex_table(facts),
        "compare.json": json.dumps(facts, indent=1, allow_nan=False),
        "compare.html": _page(facts, pictures),
    }
    contents.update((name, content.encode()) for name, content in files.items())
    with Lease(storage, "compare.lease.json", held="writes a comparison there").acquire(
        patience_s=2 * STALE_S
    ):
        for name, data in contents.items():
            storage.replace(name, data)
    return {name: storage.uri(name) for name in files}


def summary_rows(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a strategy; `_low` and `_high` are ends of 95 % intervals, empty where unknown."""
    rows = []
    for group in facts["groups"]:
        row: dict[str, Any] = {
            "strategy": group["label"],
            "seeds": len(group["seeds"]),
            "measure": facts["measure"],
        }
        for name, values in (
            ("final_miou", group["final"]),
            ("aubc", group["aubc"]),
            ("aubc_log", group["aubc_log"]),
            ("share_of_full_own", group["full_own"]),
            ("share_of_full_best", group["full_best"]),
            ("rare_miou", group["rare_miou"]),
            *((f"miou_at_{point['budget']:g}", point) for point in group["at"]),
            ("labels_saved", _as_interval(group["saved"])),
            *(
                (f"{cost}_saved", _as_interval(saved))
                for cost, saved in (group["saved"] or {"costs": {}})["costs"].items()
            ),
        ):
            for suffix, key in (("", "mean"), ("_low", "low"), ("_high", "high")):
                row[name + suffix] = values[key] if values else None
        row.update(
            labelled_pixels=group["pixels"],
            labelled_clicks=group["clicks"],
            opened_images=group["images"],
        )
        row.update(labelling_minutes=group["minutes"], seconds=group["seconds"])
        row.update(
            {f"labelled_share_{name}": share for name, share in group["labelled_classes"].items()}
        )
        rows.append(row)
    return rows


def _as_interval(saved: dict[str, Any] | None) -> dict[str, Any] | None:
    """Labels saved as a mean with ends, which are empty where they are not known."""
    return {**saved, "mean": saved["value"]} if saved else None


def curve_rows(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a strategy, axis and budget."""
    return [
        {
            "strategy": group["label"],
            "axis": axis,
            "budget": x,
            "miou": mean,
            "miou_low": low,
            "miou_high": high,
        }
        for group in facts["groups"]
        for axis, curve in group["curves"].items()
        for x, mean, low, high in zip(
            curve["x"], curve["mean"], curve["low"], curve["high"], strict=True
        )
    ]


def _csv(rows: list[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(buffer, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()}
        for row in rows
    )
    return buffer.getvalue()


def latex_table(facts: dict[str, Any]) -> str:
    """Final mIoU, area and labels saved, mean with the half width of the interval; for the package booktabs."""
    lines = [
        r"\begin{tabular}{lrrrr}",
        r"\toprule",
        r"strategy & seeds & final mIoU & AUBC & labels saved \\",
        r"\midrule",
    ]
    best = max(group["final"]["mean"] for group in facts["groups"])
    for group in facts["groups"]:
        final = _latex(group["final"])
        if group["final"]["mean"] == best:
            final = rf"\textbf{{{final}}}"
        saved = group["saved"]["value"] if group["saved"] else None
        shown = "--" if saved is None else rf"{100 * saved:.0f}\,\%"
        label = "".join(LATEX.get(sign, sign) for sign in group["label"])
        lines.append(
            rf"{label} & {len(group['seeds'])} & {final} & {_latex(group['aubc'])} & {shown} \\"
        )
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex(values: dict[str, Any]) -> str:
    text = f"{100 * values['mean']:.2f}"
    return (
        text
        if values["low"] is None
        else rf"{text}\,[{100 * values['low']:.2f}, {100 * values['high']:.2f}]"
    )


def _page(facts: dict[str, Any], pictures: list[dict[str, Any]]) -> str:
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["interval"] = interval_text
    environment.filters["estimate"] = estimate_text
    environment.filters["needed"] = needed_text
    environment.filters["p_value"] = p_text
    template = environment.from_string(
        resources.files("ray_al.sweep").joinpath("compare.html.j2").read_text()
    )
    return template.render(
        facts=facts,
        pictures=pictures,
        axis_title=AXES[facts["axis"]],
        measure_title=MEASURES[facts["measure"]],
        is_share=facts["axis"] in SHARES,
    )


def comparison_text(facts: dict[str, Any]) -> str:
    """The table for a terminal."""
    width = max(len(group["label"]) for group in facts["groups"])
    lines = [f"{'strategy':{width}s} seeds  {'final mIoU':26s} {'AUBC':26s} labels saved"]
    for group in facts["groups"]:
        saved = (
            estimate_text(group["saved"], scale=100, ceiling=1.0) + " %" if group["saved"] else "-"
        )
        lines.append(
            f"{group['label']:{width}s} {len(group['seeds']):5d}  {interval_text(group['final']):26s} {interval_text(group['aubc']):26s} {saved}"
        )
    if facts["measure"] != "miou":
        lines.append(
            f"mIoU is that of the {MEASURES[facts['measure']]}; that of the models that choose: --measure miou"
        )
    lines += [f"set apart: {row['run']}: {row['reason']}" for row in facts["apart"]]
    if facts["axis"] != "share":
        lines.append(
            f"compared by {AXES[facts['axis']]}: what a share of the regions is differs from run to run"
        )
    if facts["too_few"]:
        lines.append(facts["too_few"])
    return "\n".join(lines)
