"""Budgets in clicks."""

from typing import ClassVar, Literal

from ray_al.core.families.labels import LabelKind
from ray_al.core.families.units import Received, Unit


class Clicks(Unit):
    """A region costs the clicks that its label took, as its label kind counts them.

    Nobody knows how many clicks the whole pool would take, so that budgets are counts, not shares.
    """

    kind: Literal["clicks"] = "clicks"
    paper: ClassVar[str] = "RevSpx: Cai et al., CVPR 2021; MulActSeg: Hwang et al., NeurIPS 2023"
    shows_late: ClassVar[bool] = True
    curve_axis: ClassVar[str] = "clicks"

    def most(self, num_pixels: int, label: LabelKind, num_classes: int) -> int:
        return label.most_clicks(num_pixels, num_classes)

    def cost(self, received: Received) -> int:
        return received.clicks

    def explain_bound(self, label: LabelKind) -> str:
        return label.explain_clicks()
