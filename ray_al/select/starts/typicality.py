"""Start with the most typical regions (Hacohen et al., ICML 2022, arXiv 2202.02794)."""

from typing import ClassVar, Literal

from ray_al.core.section import Count, Number
from ray_al.select.starts.on_features import FeatureStart


class TypicalityStart(FeatureStart):
    """Takes the most typical region of each cluster, the largest clusters first."""

    kind: Literal["typicality"] = "typicality"
    paper: ClassVar[str] = (
        "the most typical of each cluster of the features of pretrained weights: "
        "Hacohen et al., ICML 2022 (arXiv 2202.02794)"
    )
    batch: ClassVar[str] = "typiclust"
    clusters: Count = 500
    """Largest number of clusters; there is one for each region of the start set."""
    neighbours: Count = 20
    """Number of nearest regions over which the mean distance is taken; a region is typical where it
    is small.
    """
    min_size: Number = 5
    """Clusters with at most this many members come last."""
    iterations: Number = 10
    """Largest number of passes of k-means."""
