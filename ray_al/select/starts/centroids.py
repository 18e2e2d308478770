"""Start with the centres of clusters (Gupte et al., TMLR 2024, arXiv 2401.14555)."""

from typing import Any, ClassVar, Literal

from ray_al.core.section import Number
from ray_al.select.starts.on_features import FeatureStart


class CentroidsStart(FeatureStart):
    """Takes the region nearest to the centre of each of k clusters of all candidates."""

    kind: Literal["centroids"] = "centroids"
    paper: ClassVar[str] = (
        "nearest to k-means centres of the features of pretrained weights: "
        "Gupte et al., TMLR 2024 (arXiv 2401.14555)"
    )
    batch: ClassVar[str] = "centroids"
    components: Number = 32
    """Number of principal components of the standardised features that are compared; 0 compares all
    features.
    """
    iterations: Number = 10
    """Largest number of passes of k-means."""

    @property
    def batch_settings(self) -> dict[str, Any]:
        """The batch rule as plain values; it clusters all candidates."""
        return {**super().batch_settings, "factor": None}
