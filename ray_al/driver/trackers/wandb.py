"""Curves in Weights & Biases."""

import uuid
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ray_al.core.families.trackers import TrackedRun, Tracker
from ray_al.core.storage import Storage


class WandbTracker(Tracker):
    """A run of a project; `offline` writes it into the run's or sweep's directory, to be synced."""

    kind: Literal["wandb"] = "wandb"
    project: Annotated[str, Field(min_length=1)] = "ray_al"
    """Name of the Weights & Biases project."""
    mode: Literal["offline", "online"] = "offline"
    """Whether the run is written into its own directory, to be synced later, or sent at once."""

    package: ClassVar[str | None] = "wandb"

    def tell(
        self, run: TrackedRun, step: int, numbers: Mapping[str, float], memory: dict[str, Any]
    ) -> None:
        """See `Tracker.tell`."""
        import wandb  # optional

        memory.setdefault("run_id", uuid.uuid4().hex[:8])
        session = wandb.init(
            project=self.project,
            mode=self.mode,
            id=memory["run_id"],
            name=run.name,
            resume="allow",
            dir=run.storage.root,
            config=dict(run.settings),
            settings=wandb.Settings(silent=True),
        )
        session.log(dict(numbers), step=step)
        session.finish()

    def for_sweep(self, storage: Storage, name: str) -> Any:
        """See `Tracker.for_sweep`."""
        from ray.air.integrations.wandb import WandbLoggerCallback  # optional, and it takes Ray

        return WandbLoggerCallback(
            project=self.project, group=name, mode=self.mode, dir=storage.root
        )
