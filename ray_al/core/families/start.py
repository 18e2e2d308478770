"""Start rules, which choose the first labelled regions."""

from typing import TYPE_CHECKING, ClassVar

from ray_al.core.family import Family
from ray_al.core.section import Section
from ray_al.core.strategy import StrategyConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import pyarrow as pa

    from ray_al.core.config import RunConfig
    from ray_al.core.families.regions import Regions


class StartRule(Section):
    """A way to choose the start set.

    A rule that needs no model ranks the pool itself (`rank`). Any other rule leaves the choice to a
    strategy (`strategy`), with scores of the start set's model. Regions that a pass over the pool
    finds (pixels, windows, superpixels) are always chosen by the strategy.
    """

    kind: str
    """Which start rule it is: a built-in kind, or `package.module:Class` for your own."""
    paper: ClassVar[str] = ""
    """Source of the rule, for `ray-al strategies`."""
    needs: ClassVar[str] = ""
    """Inputs of the rule, for `ray-al strategies`."""
    needs_model: ClassVar[bool] = False
    """Whether a model scores the pool before the start set is chosen."""
    follows_strategy: ClassVar[bool] = False
    """Whether the run's own strategy chooses, so runs of other strategies have other start sets."""

    takes_existing: ClassVar[bool] = False
    """Whether the start set are labels that exist (`labelled`), whatever `budget.start` says."""

    @property
    def is_counted(self) -> bool:
        """Return whether the labels of the start set are paid from the budget."""
        return True

    def labelled(self, manifest: "pa.Table", root: str) -> "np.ndarray":
        """Return which images are labelled when the run begins (`takes_existing`), bool (images,).

        Args:
            manifest: MANIFEST_SCHEMA.
            root: folder of the data, a path or URI.

        Raises:
            ConfigError: a list of these images is missing or wrong.
        """
        raise NotImplementedError

    @property
    def seed_part(self) -> float:
        """Return the share of the start set, below 1, that is drawn and labelled first.

        That seed part trains the model that chooses the rest. Without it (0), the model of a rule
        that needs one is untrained.
        """
        return 0.0

    def strategy(self, later: StrategyConfig) -> StrategyConfig:
        """Return the strategy that chooses the start set (after its seed part).

        Args:
            later: the strategy of the cycles that follow.
        """
        return later.of_start()

    def rank(
        self,
        manifest: "pa.Table",
        regions: "Regions",
        *,
        k: int,
        seed: int,
        cycle: int,
        remaining: "np.ndarray",
        allows: "Callable[[np.ndarray], np.ndarray] | None" = None,
    ) -> "pa.Table":
        """Return the first `k` regions of a start set, or of its seed part, without a model.

        The ranking for a smaller k is the beginning of that for a larger one.

        Args:
            manifest: MANIFEST_SCHEMA.
            regions: the region kind.
            k: number of regions.
            seed: seed of the run.
            cycle: START_CYCLE, or SEED_CYCLE for the seed part.
            remaining: bool (regions of the pool,), those that may still be chosen.
            allows: rows -> bool (rows,), which of these are ranked; None ranks all.

        Returns:
            SCORE_SCHEMA with `key` and `reason`, best first.
        """
        raise NotImplementedError

    def check(self, config: "RunConfig") -> None:
        """Refuse a run in which the rule cannot work.

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
        "existing": "ray_al.select.starts.existing:ExistingStart",
        "class_aware": "ray_al.select.starts.class_aware:ClassAwareStart",
    },
    default="random",
    takes_word=True,
)
