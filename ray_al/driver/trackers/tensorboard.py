"""Curves in TensorBoard."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from ray_al.core.families.trackers import TrackedRun, Tracker


class TensorboardTracker(Tracker):
    """Files below `tensorboard/` of the run; for a sweep Ray Tune always writes its own."""

    kind: Literal["tensorboard"] = "tensorboard"
    package: ClassVar[str | None] = "tensorboardX"

    def tell(
        self, run: TrackedRun, step: int, numbers: Mapping[str, float], memory: dict[str, Any]
    ) -> None:
        """See `Tracker.tell`."""
        from tensorboardX import SummaryWriter  # optional

        # The file is named by the second: without a suffix, a cycle within the same second would
        # replace the one before.
        place = run.storage.uri("tensorboard")
        with SummaryWriter(place, filename_suffix=f".{step}") as writer:
            for key, value in numbers.items():
                writer.add_scalar(key, value, step)
