"""Budgets in clicks."""

from typing import ClassVar, Literal

from ray_al.core.families.labels import LabelKind
from ray_al.core.families.units import Received, Unit


class Clicks(Unit):
    """A region costs the clicks that its label took, as its label kind counts them.

    The clicks of the whole pool are not known, so budgets are counts, not shares.
    """

    kind: Literal["clicks"] = "clicks"
    paper: ClassVar[str] = "RevSpx: Cai et al., CVPR 2021; MulActSeg: Hwang et al., NeurIPS 2023"
    shows_late: ClassVar[bool] = True
    curve_axis: ClassVar[str] = "clicks"

    def most(self, num_pixels: int, label: LabelKind, num_classes: int) -> int:
        """Return the most clicks that the label kind can take."""
        return label.most_clicks(num_pixels, num_classes)

    def cost(self, received: Received) -> int:
        """Return the clicks that the labels took."""
        return received.clicks

    def explain_bound(self, label: LabelKind) -> str:
        """Return the label kind's explanation."""
        return label.explain_clicks()
