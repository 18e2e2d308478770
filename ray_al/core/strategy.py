"""The `strategy` section of the configuration: how regions are scored, and how a query is chosen from the scores."""

from typing import Annotated, Any, Literal

from pydantic import Field

from ray_al.core.families.batch import BATCH_RULES, BatchRule
from ray_al.core.families.passes import PASSES, PassKind
from ray_al.core.section import Count, Positive, Section, Weight
from ray_al.core.variants import OFFERS, Offer


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
    batch: Annotated[BatchRule, BATCH_RULES] = Field(default_factory=lambda: BATCH_RULES.parse({"kind": "topk"}), validate_default=False)
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

    def of_start(self, **settings: Any) -> "StrategyConfig":
        """The strategy that chooses a start set where this one chooses later: random scores unless `settings` say otherwise."""
        kept = {"skip_void_by_ground_truth": self.skip_void_by_ground_truth, "feature_layer": self.feature_layer}
        return StrategyConfig.model_validate({"score": "random", **kept, **settings})
