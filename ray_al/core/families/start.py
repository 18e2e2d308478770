"""Start rules: how the first labelled regions are chosen. The rest of the code asks the rule."""

from typing import TYPE_CHECKING, Any, ClassVar

from ray_al.core.family import Family
from ray_al.core.section import Section
from ray_al.core.strategy import StrategyConfig

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from ray_al.core.config import RunConfig


class StartRule(Section):
    """How the start set is chosen.

    A rule that needs no model ranks the pool itself (`rank`). The choice of any other rule is that
    of a strategy (`strategy`), whose scores the model of the start set gives. Of regions that are
    found by a pass over the pool (pixels, windows, superpixels) the strategy chooses in any case.
    """

    kind: str
    """Which start rule it is: a built-in kind, or `package.module:Class` for your own."""
    paper: ClassVar[str] = ""
    """Its source, for `ray-al strategies`."""
    needs: ClassVar[str] = ""
    """What it looks at, for `ray-al strategies`."""
    needs_model: ClassVar[bool] = False
    """Whether a model looks at the pool before the start set is chosen."""
    follows_strategy: ClassVar[bool] = False
    """Whether the run's own strategy chooses, so that runs of other strategies start elsewhere."""

    @property
    def seed_part(self) -> float:
        """The part of the start set, below 1, that is drawn and labelled first.

        It trains the model that chooses the rest.
        With 0 there is no such part, and where the rule needs a model, that model is untrained.
        """
        return 0.0

    def strategy(self, later: StrategyConfig) -> StrategyConfig:
        """The strategy that chooses the start set (after its seed part).

        Args:
            later: the strategy of the cycles that follow.
        """
        return later.of_start()

    def rank(
        self,
        manifest: "pa.Table",
        regions: Any,
        *,
        k: int,
        seed: int,
        cycle: int,
        remaining: "np.ndarray",
        allows: Any = None,
    ) -> "pa.Table":
        """The first `k` regions of a start set, or of its seed part, that needs no model.

        The ranking for k begins with that for fewer.

        Args:
            manifest: MANIFEST_SCHEMA.
            regions: the region kind.
            cycle: START_CYCLE, or SEED_CYCLE for the seed part.
            remaining: bool (regions of the pool,), those that may still be chosen.
            allows: rows -> bool (rows,), which of these are ranked; default: all.

        Returns:
            SCORE_SCHEMA with `key` and `reason`, best first.
        """
        raise NotImplementedError

    def check(self, config: "RunConfig") -> None:
        """Refuse a run with which the rule does not go.

        Raises:
            ConfigError: with key, value and remedy.
        """


START_RULES = Family(
    "budget.start_rule",
    StartRule,
    {
        "random": "ray_al.select.starts.random:RandomStart",
        "scored": "ray_al.select.starts.scored:ScoredStart",
        "equal_per_image": "ray_al.select.starts.equal_per_image:EqualPerImageStart",
        "kcenter": "ray_al.select.starts.kcenter:KCenterStart",
        "centroids": "ray_al.select.starts.centroids:CentroidsStart",
        "typicality": "ray_al.select.starts.typicality:TypicalityStart",
        "class_aware": "ray_al.select.starts.class_aware:ClassAwareStart",
    },
    default="random",
    takes_word=True,
)
