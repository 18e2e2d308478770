"""Batch rules: how a query is chosen from scores. The rest of the code asks the rule."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ray_al.core.family import Family
from ray_al.core.section import Section

if TYPE_CHECKING:
    from ray_al.core.config import RunConfig


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When a query is chosen; draws and schedules follow from it.

    Attributes:
        seed: of the run.
        cycle: below 0 for a start set.
        num_cycles: queries that the budget holds beside the start set, at least 1.
    """

    seed: int
    cycle: int
    num_cycles: int = 1


class ScoreFacts(Protocol):
    """What a batch rule may ask about an acquisition function."""

    @property
    def attribution(self) -> str:
        """`none`, or how its scores are split by class: `hard` or `soft`."""

    @property
    def signed(self) -> bool:
        """Whether its scores may be below 0."""

    @property
    def needs_model(self) -> bool:
        """Whether it looks at what a model predicts."""


class BatchRule(Section):
    """How a query is chosen from scores.

    A rule of your own derives from one of the bases in `ray_al/select/rules.py`, which fill the
    query: `KeyedRule` gives each region a key, `CandidateRule` chooses among the best regions.
    """

    kind: str
    """Which batch rule it is: a built-in kind, or `package.module:Class` for your own."""
    paper: ClassVar[str] = ""
    """Its source, for `ray-al strategies`."""
    needs: ClassVar[str] = "scores"
    """What it looks at, for `ray-al strategies`."""
    ranks_scores: ClassVar[bool] = False
    """Whether it looks at scores alone, so that of random scores its choice is a random draw."""
    reads_features: ClassVar[bool] = False
    """Whether it reads features of its candidates, which a pass over their images computes."""
    reads_covers: ClassVar[bool] = False
    """Whether scoring also tells which part of a region each predicted class covers."""
    reads_class_scores: ClassVar[bool] = False
    """Whether it reads the scores by class of its candidates."""

    def num_candidates(self, num_regions: int) -> int | None:
        """How many regions, those with the highest scores, it looks at to choose `num_regions`.

        None means all of them.
        """
        return None

    def why_not(self, score: str, function: ScoreFacts) -> str | None:
        """Why it cannot choose by what the function called `score` scores; None where it can."""
        return None

    def check(self, config: "RunConfig") -> None:
        """Refuse a run with which the rule does not go.

        Raises:
            ConfigError: with key, value and remedy.
        """

    @abstractmethod
    def fill(self, basket: Any, pool: Any) -> None:
        """Put regions into the query.

        Args:
            basket: the query, a `Basket` (select/basket.py), which says what may go in.
            pool: what was scored, a `ScoredPool` (select/rules.py).
        """
        raise NotImplementedError


BATCH_RULES = Family(
    "strategy.batch",
    BatchRule,
    {
        "topk": "ray_al.select.topk:TopKRule",
        "power": "ray_al.select.power:PowerRule",
        "softmax": "ray_al.select.softmax:SoftmaxRule",
        "softrank": "ray_al.select.softrank:SoftrankRule",
        "kcenter": "ray_al.select.kcenter:KCenterRule",
        "badge": "ray_al.select.badge:BadgeRule",
        "clue": "ray_al.select.clue:ClueRule",
        "kmeans": "ray_al.select.cluster_best:ClusterBestRule",
        "maxherding": "ray_al.select.maxherding:MaxHerdingRule",
        "redal": "ray_al.select.redal:ReDALRule",
        "typiclust": "ray_al.select.typiclust:TypiClustRule",
        "centroids": "ray_al.select.centroids:CentroidsRule",
        "two_stage": "ray_al.select.two_stage:TwoStageRule",
        "class_split": "ray_al.select.class_split:ClassSplitRule",
        "stratified": "ray_al.select.stratified:StratifiedRule",
    },
    default="topk",
)
