"""The page: one file that needs nothing else."""

from importlib import resources
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from ray_al.report import pictures
from ray_al.report.data import ImagePanel, ReportData
from ray_al.report.metrics import mean_miou


def render_report(data: ReportData) -> str:
    """`report.html` as text; self-contained, all text escaped."""
    template = Environment(autoescape=True).from_string(
        resources.files("ray_al.report").joinpath("report.html.j2").read_text()
    )
    charts: dict[str, Any] = {}
    if data.rows:
        charts = {
            "curve": Markup(pictures.learning_curve(data)),
            "classes": Markup(pictures.class_bars(data)),
            "times": Markup(pictures.stage_times(data)),
        }
    return template.render(
        data=data,
        last=data.rows[-1] if data.rows else None,
        best_known=_best_known(data),
        full=_miou(data.upper_bound),
        final=_miou(data.final),
        charts=charts,
        panels=[_panel(panel, data) for panel in data.images],
        colors=[f"rgb{tuple(color)}" for color in data.colors],
    )


def _best_known(data: ReportData) -> float | None:
    """mIoU to compare with that of all labels: of the final model, else of the models measured last, else of the last cycle's."""
    if data.final is not None:
        return mean_miou(data.final)
    if data.measured:
        return float(data.measured[-1]["miou"])
    return float(data.rows[-1]["miou"]) if data.rows else None


def _miou(values: dict[str, Any] | None) -> float | None:
    return mean_miou(values) if values else None


def _panel(panel: ImagePanel, data: ReportData) -> dict[str, Any]:
    photo = panel.frames[0].photo
    frames = [
        {
            "cycle": frame.cycle,
            "entropy": pictures.entropy_uri(frame.entropy, len(data.class_names)),
            "prediction": pictures.ids_uri(frame.prediction, data.colors, photo),
            "labels": pictures.ids_uri(frame.labels, data.colors, photo),
            "outlines": [{"path": path, "cycle": cycle} for path, cycle in frame.outlines],
        }
        for frame in panel.frames
    ]
    return {
        "image_id": panel.image_id,
        "photo": pictures.photo_uri(photo),
        "frames": frames,
        "ratio": photo.shape[1] / photo.shape[0],
    }
