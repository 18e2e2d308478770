"""Start balanced by class, as far as a model can tell that has seen a part of the start set."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from ray_al.core.errors import ConfigError
from ray_al.core.families.start import StartRule
from ray_al.core.strategy import StrategyConfig
from ray_al.select.start import Allows, random_start

if TYPE_CHECKING:
    from ray_al.core.config import RunConfig


class ClassAwareStart(StartRule):
    """A part that is drawn at random trains a model, which chooses the rest balanced by class."""

    kind: Literal["class_aware"] = "class_aware"
    paper: ClassVar[str] = "a random part trains a model, which chooses the rest balanced by class"
    needs_model: ClassVar[bool] = True
    seed_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Part of the start set that is drawn at random, to train the model which chooses the rest."""

    @property
    def seed_part(self) -> float:
        return self.seed_share

    def strategy(self, later: StrategyConfig) -> StrategyConfig:
        return later.of_start(score="class_balanced")

    def check(self, config: "RunConfig") -> None:
        if config.regions.is_sparse:
            raise ConfigError(f"budget.start_rule={self.kind!r}: regions.kind={config.regions.kind!r} has a region at every pixel; use random")

    def rank(
        self,
        manifest: pa.Table,
        regions: Any,
        *,
        k: int,
        seed: int,
        cycle: int,
        remaining: np.ndarray,
        allows: Allows | None = None,
    ) -> pa.Table:
        return random_start(manifest, regions, k=k, seed=seed, cycle=cycle, remaining=remaining, allows=allows)
