"""The `strategy` section of the configuration: how regions are scored, and how a query is chosen from the scores."""

import math
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from ray_al.core.families.passes import PASSES, PassKind
from ray_al.core.section import Count, Positive, Section, Weight
from ray_al.core.shares import exact
from ray_al.core.variants import OFFERS, Offer

BatchKind = Literal[
    "topk",
    "power",
    "softmax",
    "softrank",
    "kcenter",
    "badge",
    "clue",
    "kmeans",
    "maxherding",
    "redal",
    "typiclust",
    "two_stage",
    "class_split",
    "stratified",
    "centroids",
]


START_RULES_ON_FEATURES: Mapping[str, BatchKind] = {"kcenter": "kcenter", "centroids": "centroids", "typicality": "typiclust"}
"""Start rules that compare the features of a model before it is trained, and the batch rule that each is."""


class BatchConfig(Section):
    kind: BatchKind = "topk"
    beta: Positive = 1.0
    """Sharpness of `power`, `softmax` and `softrank`: of `power`, regions are drawn in proportion to score to the power of beta."""
    schedule: Literal["constant", "exponential"] = "constant"
    """`exponential`: beta grows a hundredfold from the first cycle to the last (ClaSP PE)."""
    candidates: Count = 100_000
    """Regions with the highest scores among which a rule that looks at all of them at once (features, ranks, classes) chooses."""
    share_by_class: Annotated[float, Field(ge=0, le=1)] = 0.66
    """Of `class_split`: the part of the query that is shared out equally among the classes."""
    min_cover: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Of `stratified`: the part of a region that a predicted class must fill for the region to stand for it."""
    factor: Annotated[float, Field(ge=1)] | None = 10.0
    """Of `centroids`: so many times the query's size are clustered, those with the highest scores; null: all `candidates`."""
    components: Annotated[int, Field(ge=0)] = 32
    """Of `centroids`: principal components of the standardised features that are compared; 0: all features as they are."""
    keep: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Of `two_stage`: the part of the candidates that herding keeps, of which the highest scores are chosen."""

    def num_candidates(self, num_regions: int) -> int:
        """Among how many regions the rule chooses that many."""
        if self.kind == "centroids" and self.factor is not None:
            return min(self.candidates, math.ceil(exact(self.factor) * num_regions))
        return self.candidates

    @property
    def reads_covers(self) -> bool:
        """Whether scoring also tells which part of a region each predicted class covers."""
        return self.kind == "stratified"


class LazyConfig(Section):
    """Score again only the images whose last scores can still reach the query, and a random check sample."""

    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Of the images with something left to query, those with the highest last scores are scored again."""
    check: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Of the other images, drawn at random: from them the recall of the true query is estimated."""
    min_recall: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Where the estimate falls below, the rest is scored too."""


class StrategyConfig(Section):
    score: str = "entropy"
    """An acquisition function of `ray-al strategies`, or `package.module:function`: logits (N, C, H, W) to values (N, H, W)."""
    temperature: Annotated[float, Field(ge=1e-6, le=1e6)] = 1.0
    """Logits are divided by it."""
    aggregation: Literal["auto", "mean", "sum", "max", "top_share"] = "auto"
    """From pixels to a region; `auto` is the function's own, mostly the mean."""
    top_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Of `aggregation: top_share`: the mean of this part of the region, the highest."""
    transforms: Annotated[tuple[str, ...], Field(min_length=1)] = ("mirror",)
    """Of `equal` and `disagreement`: mirror, flip, rotate90, rotate180, rotate270, scale0.5, …"""
    passes: Annotated[PassKind, PASSES] = Field(default_factory=lambda: PASSES.parse({"kind": "dropout"}), validate_default=False)
    """What makes several predictions of one image, for functions such as `bald`."""
    radius: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Of `ripu`: the window is 2 * radius + 1 pixels wide."""
    nu: Weight = 6.0
    """Of `pixbal`: how strongly frequent classes are held back."""
    batch: BatchConfig = BatchConfig()
    per_image: Count | None = None
    """At most so many regions of one image in a query."""
    min_distance: Positive | None = None
    """Native pixels between the centres of two regions of one image in a query."""
    offer: Annotated[Offer, OFFERS] | None = None
    """How an image of `pixels` or `windows` picks the regions that it offers; None: those with the highest scores."""
    feature_layer: Annotated[str, Field(min_length=1)] | None = None
    """Module whose output is pooled by region for rules that look at features; default: the input of the last convolution. `backbone`: the
    coarsest map of the backbone; `backbone_maps`: its two coarsest maps, which weigh alike."""
    lazy: LazyConfig | None = None
    skip_void_by_ground_truth: bool = False
    """EquAL's void filter. It looks at the ground truth of unlabelled regions: for reproducing the paper only."""
