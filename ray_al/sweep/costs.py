"""What labels cost in minutes of a person's time: a model with few settings, each with its source.

An image that is opened, a region that is looked at, a class that is named and a click on an outline each take
so many seconds. They are counted from the columns of `curve.csv`:

- images: each is opened once in every cycle that labels regions of it. Runs of earlier versions do not tell how
  often that was; their images count once.
- regions: all that were labelled.
- classes: one a region; for labels of kind `classes` all clicks, which are the classes that were named.
- clicks: all others. Of a dense label these are the crossings and the vertices of its outlines, and the classes
  of its second and further parts, which are not counted apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ray_al.core.errors import ConfigError
from ray_al.core.families.labels import LABELS
from ray_al.sweep.run_result import Group, RunResult

CAP_SHARE = 0.9
"""A mean label above this share of `label.max_clicks` says that many labels were cut off there."""


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """Seconds of a person's time.

    Attributes:
        image: to open an image and find one's way in it. An assumption.
        region: to look at a region before the first answer. With `class_name` it makes the 2.4 s that Bearman et
            al. (What's the Point, ECCV 2016, arXiv 1506.02106) give for the first point of a class; the division
            between the two is an assumption.
        class_name: to name the class of what one looks at: 0.9 s, a further point of a class in the same paper
            (Cheng et al., Pointly-Supervised Instance Segmentation, CVPR 2022, arXiv 2104.06404, build on as much).
        click: a click on an outline. An assumption, made so that a whole image of CamVid costs what its authors
            report: 230 hours for 701 images, some 20 minutes each (Brostow et al., Pattern Recognition Letters,
            2009), while its masks have 1,600 clicks by `label.cost.polygon_clicks` (mean of 21 training images).
            An instance of COCO takes 79 s (Lin et al., ECCV 2014), and an image of Cityscapes 90 minutes (Cordts
            et al., CVPR 2016).
    """

    image: float = 5.0
    region: float = 1.5
    class_name: float = 0.9
    click: float = 0.7

    @property
    def text(self) -> str:
        """The settings in one line, for tables."""
        return f"{self.image:g} s an image, {self.region:g} s a region, {self.class_name:g} s a class, {self.click:g} s a click on an outline"


OPTIONS = {"image": "image", "region": "region", "class": "class_name", "click": "click"}
"""Names of the settings on the command line."""


def parse_costs(texts: Sequence[str]) -> CostModel:
    """The model with settings such as `click=1.2`.

    Raises:
        ConfigError: an unknown name, or no number of seconds.
    """
    model = CostModel()
    for text in texts:
        name, _, value = text.partition("=")
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1.0
        if name not in OPTIONS or not 0 <= seconds < 1e6:
            raise ConfigError(
                f"--seconds {text!r}: give a name of {', '.join(OPTIONS)} and a number of seconds, such as click=1.2"
            )
        model = replace(model, **{OPTIONS[name]: seconds})
    return model


def minutes(row: Mapping[str, Any], kind: str, model: CostModel) -> float | None:
    """What the labels of a row of `report.rows.curve_rows` took; None where their clicks were not counted.

    Args:
        kind: `label.kind` of the run.
    """
    clicks = row["labelled_clicks"]
    if clicks is None:
        return None
    images, regions = row.get("labelled_visits") or row["labelled_images"], row["labelled_regions"]
    classes = clicks if LABELS.find(kind).clicks_name_classes else min(regions, clicks)
    seconds = (
        model.image * images
        + model.region * regions
        + model.class_name * classes
        + model.click * (clicks - classes)
    )
    return float(seconds / 60)


def with_minutes(run: RunResult, model: CostModel) -> RunResult:
    """The run with the minutes of its labels in every row."""
    kind = str(run.values.get("label.kind", "dense"))
    rows, measured = (
        tuple({**row, "labelled_minutes": minutes(row, kind, model)} for row in some)
        for some in (run.rows, run.measured)
    )
    return replace(run, rows=rows, measured=measured)


def is_cut_off(run: RunResult) -> bool:
    """Whether labels of the run reach `label.max_clicks` so often that their clicks, and minutes, are too few."""
    row, cap = run.rows[-1], run.values.get("label.max_clicks")
    if cap is None or row["labelled_clicks"] is None or not _has_cap(run):
        return False
    return bool(row["labelled_clicks"] >= CAP_SHARE * cap * row["labelled_regions"])


def _has_cap(run: RunResult) -> bool:
    """Earlier versions recorded `label.max_clicks` for every label kind; it never counted for some."""
    return "max_clicks" in LABELS.find(str(run.values.get("label.kind", "dense"))).model_fields


def costs_facts(model: CostModel, groups: Sequence[Group]) -> dict[str, Any]:
    """The settings, and the groups whose labels were cut off."""
    return {
        "seconds": asdict(model),
        "text": model.text,
        "cut_off": [group.label for group in groups if any(map(is_cut_off, group.runs))],
    }
