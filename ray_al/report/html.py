"""Render the page: one file that needs nothing else."""

from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment
from markupsafe import Markup

from ray_al.report import pictures
from ray_al.report.data import CycleView, ImagePanel, ReportData


@dataclass(frozen=True, kw_only=True)
class _Charts:
    """The charts, as inline SVG."""

    curve: Markup
    classes: Markup
    times: Markup


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """An image of the report; `frames` goes into the page as JSON."""

    image_id: str
    photo: str
    frames: list[dict[str, object]]


def render_report(data: ReportData) -> str:
    """Return `report.html` as text: self-contained, with all text escaped."""
    source = resources.files("ray_al.report").joinpath("report.html.j2").read_text()
    return (
        Environment(autoescape=True)
        .from_string(source)
        .render(
            data=data,
            last=data.rows[-1] if data.rows else None,
            best_known=_best_known(data),
            full=data.full_miou,
            final=data.final_miou,
            charts=_charts(data) if data.rows else None,
            panels=[_panel(panel, data) for panel in data.images],
            colors=[f"rgb{color}" for color in data.colors],
        )
    )


def _charts(data: ReportData) -> _Charts:
    return _Charts(
        curve=Markup(pictures.learning_curve(data)),
        classes=Markup(pictures.class_bars(data)),
        times=Markup(pictures.stage_times(data)),
    )


def _best_known(data: ReportData) -> float | None:
    """Return the mIoU to compare with that of all labels.

    That is the mIoU of the final models if they were trained on all labels, else of the models
    measured last, else of the last cycle.
    """
    if data.final_miou is not None and not data.final_labels:
        return data.final_miou
    if data.measured:
        return data.measured[-1].miou
    return float(data.rows[-1]["miou"]) if data.rows and data.has_validation else None


def _panel(panel: ImagePanel, data: ReportData) -> _Panel:
    photo = panel.frames[0].photo
    return _Panel(
        image_id=panel.image_id,
        photo=pictures.photo_uri(photo),
        frames=[_frame(frame, data, panel) for frame in panel.frames],
    )


def _frame(frame: CycleView, data: ReportData, panel: ImagePanel) -> dict[str, object]:
    photo = panel.frames[0].photo
    return {
        "cycle": frame.cycle,
        "entropy": pictures.entropy_uri(frame.entropy, len(data.class_names)),
        "prediction": pictures.ids_uri(frame.prediction, data.colors, photo),
        "labels": pictures.ids_uri(frame.labels, data.colors, photo),
        "outlines": [{"path": path, "cycle": cycle} for path, cycle in frame.outlines],
    }
