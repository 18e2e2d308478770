"""The section `strategy`: how regions are scored, and how a query is chosen from the scores."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from ray_al.core.families.acquisition import ACQUISITION_SETTINGS
from ray_al.core.families.batch import BATCH_RULES, BatchRule
from ray_al.core.families.passes import PASSES, PassKind
from ray_al.core.section import Count, Positive, Section, Weight
from ray_al.core.variants import OFFERS, Offer

WindowRadius = Annotated[int, Field(ge=1, le=10_000)]


class LazyConfig(Section):
    """Settings of lazy scoring.

    Only images whose last scores can still reach the query are scored again, and a random sample of
    the others, to check how much is missed.
    """

    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the images with unqueried regions that is scored again: those with the highest last
    scores.
    """
    check: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Share of the other images, drawn at random, from which the recall of the true query is
    estimated.
    """
    min_recall: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Estimated recall below which all other images are scored too."""


class LabelTime(Section):
    """Seconds of a person's time for a label, by which the scores of regions are divided.

    How many clicks a region takes is learnt during the run; the first query is chosen without.
    """

    image: Weight = 5.0
    """Seconds to open the image."""
    region: Weight = 1.5
    """Seconds to look at the region."""
    class_name: Positive = 0.9
    """Seconds to name a class."""
    click: Positive = 0.7
    """Seconds of a click on an outline."""


class StrategyConfig(Section):
    """Settings of scoring regions and of choosing a query from the scores."""

    acquisition: str = "entropy"
    """Acquisition function: one that `ray-al strategies` lists, or a `package.module:function` that
    turns logits (N, C, H, W) into values (N, H, W).
    """
    temperature: Annotated[float, Field(ge=1e-6, le=1e6)] = 1.0
    """Number by which logits are divided before the softmax."""
    aggregation: Literal["auto", "mean", "sum", "max", "top_share"] = "auto"
    """How the values of a region's pixels become one; `auto` takes the way that suits the function,
    mostly the mean.
    """
    top_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """With `aggregation: top_share`, the share of the region's pixels whose mean is taken, from the
    highest value down.
    """
    transforms: Annotated[tuple[str, ...], Field(min_length=1)] = ("mirror",)
    """Transforms of the image that `equal` and `disagreement` compare: mirror, flip, rotate90,
    rotate180, rotate270, scale0.5 and others.
    """
    passes: Annotated[PassKind, PASSES] = Field(
        default_factory=lambda: PASSES.parse({"kind": "dropout"}), validate_default=False
    )
    """How several predictions of one image are made, for functions such as `bald`."""
    radius: WindowRadius | None = None
    """With `acquisition: ripu` only, the radius of the window, which is 2 * radius + 1 pixels wide;
    null takes 1.
    """
    nu: Weight | None = None
    """With `acquisition: pixbal` only, how strongly frequent classes are held back; null takes 6.
    """
    batch: Annotated[BatchRule, BATCH_RULES] = Field(
        default_factory=lambda: BATCH_RULES.parse({"kind": "topk"}), validate_default=False
    )
    """How a query is chosen from the scores."""
    per_image: Count | None = None
    """Largest number of regions of one image in a query; null sets no limit."""
    min_distance: Positive | None = None
    """Smallest distance, in native pixels, between the centres of two regions of one image in a
    query.
    """
    label_time: LabelTime | None = None
    """Whether scores are divided by the seconds that labels are expected to take; null takes them
    as they are, `{}` divides by the default seconds.
    """
    offer: Annotated[Offer, OFFERS] | None = None
    """How an image of `pixels` or `windows` picks the regions that it offers; null offers those
    with the highest scores.
    """
    feature_layer: Annotated[str, Field(min_length=1)] | None = None
    """Module whose output is pooled by region for rules that read features; null takes the input of
    the last convolution, `backbone` the coarsest map of the backbone, and `backbone_maps` its two
    coarsest maps with equal weight.
    """
    lazy: LazyConfig | None = None
    """Lazy scoring, of only those images whose last scores can still reach the query; null scores
    all.
    """
    skip_void_by_ground_truth: bool = False
    """Whether regions that are void in the ground truth are skipped, as EquAL does; only for
    reproducing the paper, since it reads labels that nobody has paid for.
    """

    @field_validator(*ACQUISITION_SETTINGS)
    @classmethod
    def _is_read_by_the_function(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse a setting of other acquisition functions than the chosen one."""
        function, readers = info.data.get("acquisition"), ACQUISITION_SETTINGS[str(info.field_name)]
        if value is None or function is None or function in readers:
            return value
        raise ValueError(
            f"it is a setting of acquisition function {' or '.join(map(repr, readers))}, and this "
            f"one is {function!r}, which does not read it: leave it out, or set "
            f"strategy.acquisition to {readers[0]!r}"
        )

    @classmethod
    def leave_out(cls, values: dict[str, Any], changes: Mapping[str, Any]) -> None:
        """Take settings from `values`, in place, that the function named in `changes` ignores.

        Only what the function named in `values` reads is taken out; the rest stays, to be refused.
        """
        before = values.get("acquisition")
        after = changes.get("acquisition", before)
        for key, readers in ACQUISITION_SETTINGS.items():
            if before in readers and after not in readers:
                values.pop(key, None)

    def of_start(self, **settings: Any) -> "StrategyConfig":
        """Return the strategy that chooses the start set of a run with this strategy.

        Args:
            settings: keys of this section; without any, the scores are random.
        """
        kept = {
            "skip_void_by_ground_truth": self.skip_void_by_ground_truth,
            "feature_layer": self.feature_layer,
        }
        return StrategyConfig.model_validate({"acquisition": "random", **kept, **settings})
