"""Start with a set balanced by class, as predicted by a model trained on a part of that set."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ray_al.core.errors import ConfigError
from ray_al.core.strategy import StrategyConfig
from ray_al.select.start import random_start
from ray_al.select.starts.ranked import RankedStart

if TYPE_CHECKING:
    from ray_al.core.config import RunConfig


class ClassAwareStart(RankedStart):
    """Trains a model on a random part, which chooses the rest balanced by class."""

    kind: Literal["class_aware"] = "class_aware"
    paper: ClassVar[str] = "a random part trains a model, which chooses the rest balanced by class"
    ranking = staticmethod(random_start)
    needs_model: ClassVar[bool] = True
    seed_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Part of the start set that is drawn at random, to train the model which chooses the rest."""

    @property
    def seed_part(self) -> float:
        """The share of the start set that is drawn at random."""
        return self.seed_share

    def strategy(self, later: StrategyConfig) -> StrategyConfig:
        """Return a strategy that balances classes."""
        return later.of_start(acquisition="class_balanced")

    def check(self, config: "RunConfig") -> None:
        """Refuse sparse region kinds.

        Raises:
            ConfigError: with key, value and remedy.
        """
        if config.regions.is_sparse:
            raise ConfigError(
                f"budget.start_rule={self.kind!r}: regions.kind={config.regions.kind!r} "
                "has a region at every pixel; use random"
            )
