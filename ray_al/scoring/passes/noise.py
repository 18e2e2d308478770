"""Passes that differ in the noise on the backbone's maps."""

from typing import TYPE_CHECKING, ClassVar, Literal

from ray_al.core.section import Positive
from ray_al.scoring.passes.changed_maps import ChangedMaps

if TYPE_CHECKING:
    from ray_al.models.feature_noise import MapNoise


class FeatureNoise(ChangedMaps):
    """Normal noise on the maps that enter the head."""

    kind: Literal["noise"] = "noise"
    noise: Positive = 0.5
    """Standard deviation of the noise, in standard deviations of each channel over the image."""

    paper: ClassVar[str] = "after Kim et al., NeurIPS 2025 (arXiv 2510.22229)"

    def change(self) -> "MapNoise":
        """Return the noise on the maps."""
        from ray_al.models.feature_noise import MapNoise

        return MapNoise(self.noise)
