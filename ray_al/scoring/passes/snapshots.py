"""Passes of states of one training."""

from typing import TYPE_CHECKING, ClassVar, Literal

from ray_al.core.errors import ConfigError
from ray_al.core.families.passes import ModelPasses

if TYPE_CHECKING:
    from ray_al.core.config import RunConfig


class Snapshots(ModelPasses):
    """States at equal steps through the last part of a training."""

    kind: Literal["snapshots"] = "snapshots"

    paper: ClassVar[str] = "after snapshot ensembles: Huang et al., ICLR 2017"

    @property
    def num_snapshots(self) -> int:
        """The number of states kept per training."""
        return self.count

    def check(self, config: "RunConfig") -> None:
        """Refuse runs without enough snapshots.

        These are trainings with too few steps, and starts that need passes of an untrained model.

        Raises:
            ConfigError: with key, value and remedy.
        """
        # At the top, the import would lead back here: that module imports the configuration.
        from ray_al.train.length import least_span

        steps = config.train.steps
        if steps is not None and self.count - 1 > (span := least_span(steps)):
            raise ConfigError(
                f"strategy.passes.count={self.count}: snapshots are taken in the last part of a "
                f"training, which has {span} or more steps of train.steps={steps}; "
                "lower the count or raise the steps"
            )
        rule = config.budget.start_rule
        if rule.follows_strategy:
            raise ConfigError(
                f"budget.start_rule={rule.kind!r}: an untrained model has no snapshots to "
                "disagree; use another start rule, or dropout"
            )
