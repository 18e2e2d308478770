"""Provide the base of start rules that compare features of a model before it is trained."""

from typing import TYPE_CHECKING, Any, ClassVar

from ray_al.core.errors import ConfigError
from ray_al.core.families.batch import BATCH_RULES
from ray_al.core.families.start import StartRule
from ray_al.core.section import Count
from ray_al.core.strategy import StrategyConfig

if TYPE_CHECKING:
    from ray_al.core.config import RunConfig


class FeatureStart(StartRule):
    """Lets a batch rule choose by features of pretrained weights, among regions drawn at random.

    The rule's settings are those of the batch rule named by `batch`, as far as they are fields
    here.
    """

    needs: ClassVar[str] = "features of pretrained weights"
    needs_model: ClassVar[bool] = True
    batch: ClassVar[str]
    """The kind of the batch rule."""
    default_layer: ClassVar[str | None] = "backbone_maps"
    """The layer if `strategy.feature_layer` is not set.

    The default elsewhere, the last layer, belongs to the head, which is random before it is
    trained.
    """
    candidates: Count = 100_000
    """Number of regions, drawn at random, among which the rule chooses."""

    def strategy(self, later: StrategyConfig) -> StrategyConfig:
        """Return a strategy with the batch rule on random scores."""
        batch = BATCH_RULES.parse(self.batch_settings)
        return later.of_start(batch=batch, feature_layer=later.feature_layer or self.default_layer)

    @property
    def batch_settings(self) -> dict[str, Any]:
        """The batch rule as plain values."""
        return {**self.model_dump(), "kind": self.batch}

    def check(self, config: "RunConfig") -> None:
        """Refuse a model without pretrained weights.

        Raises:
            ConfigError: with key, value and remedy.
        """
        if config.model.weights == "none":
            raise ConfigError(
                f"budget.start_rule={self.kind!r} compares features of the untrained model, "
                "and model.weights is 'none'; "
                "set weights to 'backbone' or a file"
            )
