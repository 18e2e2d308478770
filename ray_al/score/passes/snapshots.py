"""Passes of states that one training goes through."""

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
        """As `PassKind.num_snapshots`."""
        return self.count

    def check(self, config: "RunConfig") -> None:
        """As `PassKind.check`: a training must have steps enough, and an untrained model has no snapshots."""
        from ray_al.train.length import (
            least_span,
        )  # this module would begin to import the configuration that names it

        steps = config.train.steps
        if steps is not None and self.count - 1 > (span := least_span(steps)):
            raise ConfigError(
                f"strategy.passes.count={self.count}: snapshots are taken in the last part of a training, which has {span} or more steps of "
                f"train.steps={steps}; lower the count or raise the steps"
            )
        rule = config.budget.start_rule
        if rule.follows_strategy:
            raise ConfigError(
                f"budget.start_rule={rule.kind!r}: an untrained model has no snapshots to disagree; use another start rule, or dropout"
            )
