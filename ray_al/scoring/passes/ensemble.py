"""Passes of models that are trained separately."""

from typing import ClassVar, Literal

from ray_al.core.families.passes import ModelPasses


class Ensemble(ModelPasses):
    """Models trained on the same labels with different seeds."""

    kind: Literal["ensemble"] = "ensemble"

    paper: ClassVar[str] = "Beluch et al., CVPR 2018"
    needs: ClassVar[str] = "a training a pass"

    @property
    def num_members(self) -> int:
        """The number of models trained per cycle."""
        return self.count
