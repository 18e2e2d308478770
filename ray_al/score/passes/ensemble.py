"""Passes of models that are trained apart."""

from typing import ClassVar, Literal

from ray_al.core.families.passes import ModelPasses


class Ensemble(ModelPasses):
    """Models that are trained on the same labels from seeds of their own."""

    kind: Literal["ensemble"] = "ensemble"

    paper: ClassVar[str] = "Beluch et al., CVPR 2018"
    needs: ClassVar[str] = "a training a pass"

    @property
    def num_members(self) -> int:
        """As `PassKind.num_members`."""
        return self.count
