"""The simulated annotator, which reads the ground truth of queried regions and of nothing else."""

from typing import Literal

from ray_al.label.annotators.from_masks import MaskAnnotator


class SimulatedAnnotator(MaskAnnotator):
    """The ground truth, which answers at once."""

    kind: Literal["simulated"] = "simulated"
