"""Batch rules, which choose a query from scores."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ray_al.core.family import Family
from ray_al.core.section import Section

if TYPE_CHECKING:
    from ray_al.core.config import RunConfig


@dataclass(frozen=True, kw_only=True)
class Moment:
    """The moment at which a query is chosen; draws and schedules follow from it.

    Attributes:
        seed: seed of the run.
        cycle: number of the cycle; below 0 for a start set.
        num_cycles: queries that the budget holds in addition to the start set, at least 1.
    """

    seed: int
    cycle: int
    num_cycles: int = 1


class ScoreFacts(Protocol):
    """Properties of an acquisition function that a batch rule may ask for."""

    @property
    def attribution(self) -> str:
        """Return how its scores are split by class: `none`, `hard` or `soft`."""

    @property
    def signed(self) -> bool:
        """Return whether its scores may be below 0."""

    @property
    def needs_model(self) -> bool:
        """Return whether it reads predictions of a model."""


class BatchRule(Section):
    """A way to choose a query from scores.

    A rule of your own derives from one of the bases in `ray_al/select/rules.py`, which fill the
    query: `KeyedRule` gives each region a key, `CandidateRule` chooses among the best regions.
    """

    kind: str
    """Which batch rule it is: a built-in kind, or `package.module:Class` for your own."""
    paper: ClassVar[str] = ""
    """Source of the rule, for `ray-al strategies`."""
    needs: ClassVar[str] = "scores"
    """Inputs of the rule, for `ray-al strategies`."""
    ranks_scores: ClassVar[bool] = False
    """Whether it reads only scores, so its choice from random scores is a random draw."""
    reads_features: ClassVar[bool] = False
    """Whether it reads features of its candidates, which a pass over their images computes."""
    reads_covers: ClassVar[bool] = False
    """Whether it reads which share of a region each predicted class covers."""
    reads_class_scores: ClassVar[bool] = False
    """Whether it reads scores by class of its candidates."""

    def num_candidates(self, num_regions: int) -> int | None:
        """Return how many regions, from the highest score down, it reads to choose `num_regions`.

        None means all of them.
        """
        return None

    def why_not(self, score: str, function: ScoreFacts) -> str | None:
        """Return why it cannot choose by the scores of a function; None if it can.

        Args:
            score: name of the acquisition function.
            function: its properties.
        """
        return None

    def check(self, config: "RunConfig") -> None:
        """Refuse a run in which the rule cannot work.

        Raises:
            ConfigError: with key, value and remedy.
        """

    @abstractmethod
    def fill(self, basket: Any, pool: Any) -> None:
        """Put regions into the query.

        Args:
            basket: the query, a `Basket` (select/basket.py), which knows what it may hold.
            pool: the scored regions, a `ScoredPool` (select/rules.py).
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
