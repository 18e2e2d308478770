"""What a sweep shows while it runs."""

import time
from collections.abc import Callable
from typing import Any

from ray.tune import Callback

from ray_al.sweep.tuner import Progress


class ProgressCallback(Callback):
    """Keeps `Progress` up to date from Tune's events."""

    def __init__(self, progress: Progress, show: Callable[[Progress], None]) -> None:
        self.progress, self.show = progress, show

    def __getstate__(self) -> dict[str, Any]:
        """Tune keeps a copy, which nobody reads: a sweep goes on from its ledgers."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.progress.running.add(trial.config["name"])

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if "miou" in result:
            self.progress.rows[trial.config["name"]] = {
                key: result[key] for key in ("cycle", "budget", "miou", "cost")
            }
            self.show(self.progress)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._end(trial, "done")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._end(trial, "failed")

    def _end(self, trial: Any, state: str) -> None:
        name = trial.config["name"]
        self.progress.running.discard(name)
        self.progress.done.setdefault(name, state)
        self.show(self.progress)


def seconds_left(progress: Progress) -> float | None:
    """From the cycles done since the sweep went on; None before the first."""
    finished = len(progress.done)
    elapsed = time.monotonic() - progress.started
    begun = finished + len(progress.running)
    return elapsed / finished * (progress.total - finished) if finished and begun else None
