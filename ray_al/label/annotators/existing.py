"""Labels that exist when a run begins."""

from typing import Literal

from ray_al.label.annotators.from_masks import MaskAnnotator


class ExistingLabels(MaskAnnotator):
    """The masks of images that are labelled already; `budget.start_rule: existing` reads them."""

    kind: Literal["existing"] = "existing"
