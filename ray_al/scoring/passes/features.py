"""Passes that differ in which channels of the backbone's maps are dropped."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ray_al.scoring.passes.changed_maps import ChangedMaps

if TYPE_CHECKING:
    from ray_al.models.feature_noise import MapDropout


class FeatureDropout(ChangedMaps):
    """Dropout of whole channels of the maps that enter the head."""

    kind: Literal["features"] = "features"
    probability: Annotated[float, Field(gt=0, lt=1)] = 0.75
    """Probability that a channel is dropped; the default is the paper's."""

    paper: ClassVar[str] = "DropQuery: Gupte et al., TMLR 2024 (arXiv 2401.14555)"

    def change(self) -> "MapDropout":
        """Return the dropout of channels."""
        from ray_al.models.feature_noise import MapDropout

        return MapDropout(self.probability)
