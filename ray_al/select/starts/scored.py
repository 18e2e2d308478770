"""Start with the strategy itself, on an untrained model."""

from typing import ClassVar, Literal

from ray_al.core.families.start import StartRule
from ray_al.core.strategy import StrategyConfig


class ScoredStart(StartRule):
    """The run's strategy chooses by what the untrained model predicts, as EquAL does."""

    kind: Literal["scored"] = "scored"
    paper: ClassVar[str] = "the untrained model's scores: EquAL"
    needs_model: ClassVar[bool] = True
    follows_strategy: ClassVar[bool] = True

    def strategy(self, later: StrategyConfig) -> StrategyConfig:
        return later
