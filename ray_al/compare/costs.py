"""The cost of labels in minutes of a person's time: a model with few settings and their sources.

To open an image, to look at a region, to name a class and to click on an outline take some seconds
each. They are counted from the columns of `curve.csv`:

- images: each is opened once in every cycle that labels regions of it. Runs of early versions did
  not record these visits; their images count once.
- regions: all that were labelled.
- classes: one per region; for labels of kind `classes` all clicks, which name classes.
- clicks: all others. For a dense label, these are the crossings and the vertices of its outlines,
  and the classes of its second and further parts, which are not counted separately.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ray_al.compare.run_result import Group, RunResult
from ray_al.core.errors import ConfigError
from ray_al.core.families.labels import LABELS

CAP_SHARE = 0.9
"""If the mean label is above this share of `label.max_clicks`, many labels were cut off there."""


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """Seconds of a person's time.

    Attributes:
        image: to open an image and find one's way in it. An assumption.
        region: to look at a region before the first answer. Together with `class_name` this is the
            2.4 s that Bearman et al. (What's the Point, ECCV 2016, arXiv 1506.02106) give for the
            first point of a class; the division between the two is an assumption.
        class_name: to name a class: the 0.9 s of a further point of a class in the same paper, a
            number that Cheng et al. (Pointly-Supervised Instance Segmentation, CVPR 2022, arXiv
            2104.06404) use too.
        click: a click on an outline. An assumption: with it, a whole image of CamVid costs as much
            as its authors report, 230 hours for 701 images or 20 minutes each (Brostow et al.,
            Pattern Recognition Letters, 2009). Its masks have 1,600 clicks by
            `label.cost.polygon_clicks` (mean of 21 training images). An instance of COCO takes 79 s
            (Lin et al., ECCV 2014), an image of Cityscapes 90 minutes (Cordts et al., CVPR 2016).
    """

    image: float = 5.0
    region: float = 1.5
    class_name: float = 0.9
    click: float = 0.7

    @property
    def text(self) -> str:
        """The settings in one line, for tables."""
        return (
            f"{self.image:g} s an image, {self.region:g} s a region, "
            f"{self.class_name:g} s a class, {self.click:g} s a click on an outline"
        )


OPTIONS = {"image": "image", "region": "region", "class": "class_name", "click": "click"}
"""Names of the settings on the command line."""


def parse_costs(texts: Sequence[str]) -> CostModel:
    """Return the model with settings such as `click=1.2`.

    Raises:
        ConfigError: a name is unknown, or a value is not a number of seconds.
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
                f"--seconds {text!r}: give a name of {', '.join(OPTIONS)} and a number of seconds, "
                "such as click=1.2"
            )
        model = replace(model, **{OPTIONS[name]: seconds})
    return model


def minutes(row: Mapping[str, Any], kind: str, model: CostModel) -> float | None:
    """Return the minutes that the labels took; None if their clicks were not counted.

    Args:
        row: of `report.build.curve_rows`.
        kind: `label.kind` of the run.
    """
    clicks = row["labelled_clicks"]
    if clicks is None:
        return None
    images = row.get("labelled_visits") or row["labelled_images"]
    regions = row["labelled_regions"]
    classes = clicks if LABELS.find(kind).clicks_name_classes else min(regions, clicks)
    seconds = (
        model.image * images
        + model.region * regions
        + model.class_name * classes
        + model.click * (clicks - classes)
    )
    return float(seconds / 60)


def with_minutes(run: RunResult, model: CostModel) -> RunResult:
    """Return the run with the minutes of its labels in every row."""
    kind = str(run.values.get("label.kind", "dense"))
    rows, measured = (
        tuple({**row, "labelled_minutes": minutes(row, kind, model)} for row in some)
        for some in (run.rows, run.measured)
    )
    return replace(run, rows=rows, measured=measured)


def is_cut_off(run: RunResult) -> bool:
    """Return whether many labels were cut off at `label.max_clicks`.

    The clicks of such a run, and its minutes, are too few.
    """
    row, cap = run.rows[-1], run.values.get("label.max_clicks")
    if cap is None or row["labelled_clicks"] is None or not _has_cap(run):
        return False
    return bool(row["labelled_clicks"] >= CAP_SHARE * cap * row["labelled_regions"])


def _has_cap(run: RunResult) -> bool:
    """Return whether the label kind has a cap; early versions recorded one for every kind."""
    return "max_clicks" in LABELS.find(str(run.values.get("label.kind", "dense"))).model_fields


@dataclass(frozen=True, kw_only=True)
class CostNotes:
    """The cost model of a comparison.

    Attributes:
        text: the settings in one line.
        cut_off: labels of the groups whose labels were cut off.
    """

    seconds: CostModel
    text: str
    cut_off: tuple[str, ...]


def note_costs(model: CostModel, groups: Sequence[Group]) -> CostNotes:
    """Return the settings, and the groups whose labels were cut off."""
    cut_off = tuple(group.label for group in groups if any(map(is_cut_off, group.runs)))
    return CostNotes(seconds=model, text=model.text, cut_off=cut_off)
