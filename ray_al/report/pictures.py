"""Pictures of the report: charts as SVG text, photographs and maps as data URIs.

Functions import matplotlib themselves, as that is slow and commands that draw nothing import this
module too.
"""

import base64
import io
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ray_al.core.types import IGNORE_INDEX, Box
from ray_al.datasets.bits import MAX_CLASSES
from ray_al.report.data import ReportData
from ray_al.report.rows import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


BLUE, ORANGE, GREY, GREEN = "#2563eb", "#f59e0b", "#94a3b8", "#059669"
STRIPE = 3
"""Width in pixels of the stripes that show a set of classes."""
LONGEST = 40
"""Maximum number of characters of a name in a picture, in a legend of each of its lines."""
LEGEND_LINES = 3
CLASS_WIDTH = 0.2
"""Minimum width in inches of the bars of a class."""
JPEG_QUALITY = 85
STAGES = {"train": BLUE, "evaluate": "#60a5fa", "score": ORANGE, "select": "#10b981", "label": GREY}


def svg(figure: "Figure") -> str:
    """Return a matplotlib figure as inline SVG, the same text for the same figure."""
    buffer = io.StringIO()
    figure.savefig(
        buffer, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None}
    )
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def set_style() -> None:
    """Set the style of all pictures. Text is never parsed as a formula: names may hold any sign."""
    from matplotlib import rcParams

    rcParams.update(
        {
            "svg.hashsalt": "ray_al",
            "svg.fonttype": "none",
            "font.size": 10,
            "text.parse_math": False,
        }
    )
    rcParams.update({"axes.spines.top": False, "axes.spines.right": False})


def shown(name: str) -> str:
    """Return a name as pictures show it: printable, and short enough to leave room to draw."""
    return _visible(_cut(name, LONGEST))


def shown_in_legend(name: str) -> str:
    """Return a name as legends show it, on more lines if it is long."""
    return _visible(textwrap.fill(_cut(name, LEGEND_LINES * LONGEST), LONGEST))


def _cut(name: str, longest: int) -> str:
    text = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in name)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _visible(label: str) -> str:
    """Return a label so that matplotlib does not leave it out of legends."""
    return f"\N{ZERO WIDTH SPACE}{label}" if label.startswith("_") else label


def _figure(width: float, height: float, columns: int = 1) -> tuple["Figure", list["Axes"]]:
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    set_style()
    for key in ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"):
        rcParams[key] = "#64748b"
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def learning_curve(data: ReportData) -> str:
    """Draw mIoU against the labelled share and against the cost.

    One line is for the models that choose, one for those that were measured, with their spread.
    Without validation images, the loss at the end of each training is drawn. Rings mark models that
    may not be comparable with those before, because the run was extended in between.
    """
    figure, axes = _figure(10, 3.6, 2)
    shown_values = "miou" if data.has_validation else "train_loss"
    values = [row[shown_values] for row in data.rows]
    full = data.full_miou
    xs = ([100 * row["labelled_fraction"] for row in data.rows], [row["cost"] for row in data.rows])
    labels = ("labelled share of the pool (%)", f"cost ({data.budget.unit})")
    for axis, x, label in zip(axes, xs, labels, strict=True):
        axis.plot(x, values, marker="o", color=BLUE, linewidth=2, label="models that choose")
        if full is not None:
            axis.axhline(full, color=ORANGE, linestyle="--")
            axis.annotate("all labels", (x[0], full), color=ORANGE, va="bottom")
        if data.measured:
            _measured_line(axis, x, data.rows)
        _rings(axis, x, values, data)
        axis.set_xlabel(label)
        axis.set_ylabel("validation mIoU" if data.has_validation else "training loss")
        axis.grid(alpha=0.25)
    handles, names = axes[0].get_legend_handles_labels()
    if len(handles) > 1:  # outside the axes, as the lines may run anywhere in them
        figure.legend(handles, names, frameon=False, ncols=3, loc="outside upper center")
    return svg(figure)


def _rings(axis: "Axes", x: Sequence[float], values: Sequence[float], data: ReportData) -> None:
    """Mark the first model after each extension of the run."""
    points = [
        (place, value)
        for place, value, row in zip(x, values, data.rows, strict=True)
        if row["cycle"] in data.extended
    ]
    if points:
        axis.plot(
            *zip(*points, strict=True),
            marker="o",
            markersize=12,
            fillstyle="none",
            linestyle="none",
            color=ORANGE,
            label="first model after an extension",
        )


def _measured_line(axis: "Axes", x: Sequence[float], rows: Sequence[Row]) -> None:
    known = [
        (place, row["final_miou"], row["final_spread"] or 0.0)
        for place, row in zip(x, rows, strict=True)
        if row["final_miou"] is not None
    ]
    places, means, spreads = zip(*known, strict=True)
    axis.errorbar(
        places,
        means,
        yerr=spreads,
        marker="s",
        capsize=4,
        color=GREEN,
        linewidth=2,
        label="measured models",
    )


def class_bars(data: ReportData) -> str:
    """Draw the class shares of the labelled set next to those of the validation set."""
    figure, (axis,) = _figure(max(10, CLASS_WIDTH * len(data.class_names)), 3.2)
    positions = np.arange(len(data.class_names))
    sets = [(data.labelled_class_pixels, BLUE, "labelled set")]
    if any(data.val_class_pixels):
        sets.append((data.val_class_pixels, GREY, "validation set"))
    offsets = (-0.2, 0.2) if len(sets) == 2 else (0.0,)
    for offset, (pixels, color, label) in zip(offsets, sets, strict=True):
        shares = 100 * np.asarray(pixels) / max(1, sum(pixels))
        axis.bar(positions + offset, shares, 0.4, color=color, label=label)
    axis.set_xticks(positions, [shown(name) for name in data.class_names], rotation=30, ha="right")
    axis.set_ylabel("share of labelled pixels (%)")
    axis.legend(frameon=False)
    return svg(figure)


def stage_times(data: ReportData) -> str:
    """Draw the seconds of each stage by cycle."""
    figure, (axis,) = _figure(10, 3.0)
    cycles = [row["cycle"] for row in data.rows]
    bottom = np.zeros(len(cycles))
    stages = {**STAGES, "measure": GREEN} if data.measured else STAGES
    for stage, color in stages.items():
        seconds = np.array([row[f"{stage}_seconds"] or 0.0 for row in data.rows])
        axis.bar(cycles, seconds, bottom=bottom, label=stage, color=color)
        bottom += seconds
    axis.set_xticks(cycles)
    axis.set_xlabel("cycle")
    axis.set_ylabel("seconds")
    figure.legend(frameon=False, ncols=len(stages), loc="outside upper center")
    return svg(figure)


def striped_ids(bits: np.ndarray) -> np.ndarray:
    """Draw sets of classes as class ids; a set of several classes becomes stripes.

    Args:
        bits: int64 (H, W); bit k is set for class k.

    Returns:
        uint8 (H, W); 255 for an empty set.
    """
    stripe = np.add.outer(*(np.arange(side) for side in bits.shape)) // STRIPE
    ids = np.full(bits.shape, IGNORE_INDEX, dtype=np.uint8)
    for value in np.unique(bits[bits != 0]):
        is_member = [int(value) >> number & 1 for number in range(MAX_CLASSES)]
        members = np.flatnonzero(is_member).astype(np.uint8)
        inside = bits == value
        ids[inside] = members[stripe[inside] % len(members)]
    return ids


def outline_path(box: Box, mask: np.ndarray | None, size: tuple[int, int]) -> str:
    """Return the border of a region as an SVG path in a 1 x 1 box.

    Args:
        mask: bool, in the shape of `box`; None if the region fills it.
        size: height and width of the image.
    """
    height, width = size
    if mask is None:
        corners = (
            (box.left, box.top),
            (box.right, box.top),
            (box.right, box.bottom),
            (box.left, box.bottom),
        )
        points = (f"{_digits(x / width)} {_digits(y / height)}" for x, y in corners)
        return f"M{'L'.join(points)}z"
    padded = np.pad(mask, 1)
    steps = []
    for y, start, stop in _runs(padded[1:] != padded[:-1]):
        left, length = (box.left + start - 1) / width, (stop - start) / width
        steps.append(f"M{_digits(left)} {_digits((box.top + y) / height)}h{_digits(length)}")
    for x, start, stop in _runs((padded[:, 1:] != padded[:, :-1]).T):
        top, length = (box.top + start - 1) / height, (stop - start) / height
        steps.append(f"M{_digits((box.left + x) / width)} {_digits(top)}v{_digits(length)}")
    return "".join(steps)


def _runs(edges: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Yield row, start and stop of each run of True in a row."""
    for row, line in enumerate(edges):
        changes = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(np.int8), [0]])))
        for start, stop in zip(changes[::2], changes[1::2], strict=True):
            yield row, int(start), int(stop)


def _digits(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".")


def photo_uri(image: np.ndarray) -> str:
    """Return an image, uint8 (H, W, 3), as a JPEG data URI."""
    return _uri(image, "JPEG")


def ids_uri(ids: np.ndarray, colors: Sequence[tuple[int, int, int]], photo: np.ndarray) -> str:
    """Draw class ids in their colours, and the dimmed photograph behind unlabelled pixels.

    Args:
        ids: uint8 (H, W).
        colors: red, green and blue of each class.
        photo: uint8 (H, W, 3).

    Returns:
        A PNG data URI.
    """
    table = np.zeros((256, 3), dtype=np.uint8)
    table[: len(colors)] = colors
    grey = (photo.mean(2, keepdims=True) * 0.25 + 20).astype(np.uint8).repeat(3, 2)
    return _uri(np.where((ids == IGNORE_INDEX)[..., None], grey, table[ids]), "PNG")


def entropy_uri(entropy: np.ndarray, num_classes: int) -> str:
    """Draw entropy, float (H, W) in nats, in a colour map from 0 to ln C, as a JPEG data URI."""
    from matplotlib import colormaps

    scaled = np.clip(entropy / np.log(max(2, num_classes)), 0, 1)
    return _uri((colormaps["inferno"](scaled)[..., :3] * 255).astype(np.uint8), "JPEG")


def _uri(image: np.ndarray, kind: str) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format=kind, quality=JPEG_QUALITY)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
