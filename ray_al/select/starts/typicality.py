"""Start with the most typical regions (Hacohen et al., ICML 2022, arXiv 2202.02794)."""

from typing import ClassVar, Literal

from ray_al.core.section import Count, Number
from ray_al.select.starts.on_features import FeatureStart


class TypicalityStart(FeatureStart):
    """The most typical region of each cluster, the largest clusters first."""

    kind: Literal["typicality"] = "typicality"
    paper: ClassVar[str] = "the most typical of each cluster of the features of pretrained weights: Hacohen et al., ICML 2022 (arXiv 2202.02794)"
    batch: ClassVar[str] = "typiclust"
    clusters: Count = 500
    """At most so many; there is one for each region of the start set."""
    neighbours: Count = 20
    """A region is typical where the mean distance to its nearest ones, so many, is small."""
    min_size: Number = 5
    """Clusters of at most this many members come last."""
    iterations: Number = 10
    """Passes of k-means at most."""
