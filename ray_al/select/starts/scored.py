"""Start with the strategy itself, applied to an untrained model."""

from typing import ClassVar, Literal

from ray_al.core.families.start import StartRule
from ray_al.core.strategy import StrategyConfig


class ScoredStart(StartRule):
    """Lets the strategy of the run choose by the untrained model's predictions, as EquAL does."""

    kind: Literal["scored"] = "scored"
    paper: ClassVar[str] = "the untrained model's scores: EquAL"
    needs_model: ClassVar[bool] = True
    follows_strategy: ClassVar[bool] = True

    def strategy(self, later: StrategyConfig) -> StrategyConfig:
        """Return the strategy of the run."""
        return later
