"""The progress of a sweep, kept up to date from Tune's events."""

from typing import Any

from ray.tune import Callback

from ray_al.sweep.progress import Reached, Show, SweepProgress


class SweepCallback(Callback):  # type: ignore[misc]  # Ray is untyped
    """Keeps `SweepProgress` up to date from Tune's events.

    Args:
        show: called with the progress after every change.
    """

    def __init__(self, progress: SweepProgress, show: Show) -> None:
        self.progress, self.show = progress, show

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune keeps a copy that nobody reads; a sweep resumes from journals."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note that a trial runs."""
        self.progress.running.add(trial.config["name"])

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Note the row of a cycle; rows of rungs have no mIoU of their own."""
        if "miou" in result:
            self.progress.reached[trial.config["name"]] = Reached.from_row(result)
            self.show(self.progress)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note that a trial is done."""
        self._end(trial, "done")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note that a trial failed."""
        self._end(trial, "failed")

    def _end(self, trial: Any, state: str) -> None:
        name = trial.config["name"]
        self.progress.running.discard(name)
        self.progress.done.setdefault(name, state)
        self.show(self.progress)
