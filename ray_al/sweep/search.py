"""The next setting that a sweep tries: first the planned ones, then those of Optuna."""

from collections import deque
from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from ray_al.core.errors import ConfigError
from ray_al.sweep.config import ParameterSpace, SweepConfig
from ray_al.sweep.naming import group_name
from ray_al.sweep.plan import make_trial
from ray_al.sweep.trials import Trial

Arguments = Callable[[Trial], dict[str, Any]]


class SettingSearch(Searcher):  # type: ignore[misc]  # Ray is untyped
    """Hands out trials.

    A setting suggested by Optuna is run with every seed; Optuna then learns the mean of the areas
    under the budget curves.

    Args:
        planned: trials to run first.
        arguments: returns the values that Tune gives to the trial function.
        on_new: called with each trial of a setting that Optuna suggests, before it is handed out.
        next_index: number of the next setting.
        num_settings: settings that Optuna may still suggest.
        known: (setting, mean area) of suggestions that earlier calls completed.
    """

    def __init__(
        self,
        sweep: SweepConfig,
        planned: list[Trial],
        *,
        arguments: Arguments,
        on_new: Callable[[Trial], None],
        next_index: int,
        num_settings: int = 0,
        known: list[tuple[dict[str, Any], float]] | None = None,
    ) -> None:
        super().__init__(metric="aubc", mode="max")
        self.sweep, self.arguments, self.on_new = sweep, arguments, on_new
        self.queue, self.next_index, self.num_settings = deque(planned), next_index, num_settings
        self.running: dict[str, Trial] = {}
        self.scores: dict[int, list[float | None]] = {}
        self.optuna = open_optuna(sweep, known or []) if sweep.search.kind == "optuna" else None

    def suggest(self, trial_id: str) -> Any:
        """Return the values of the next trial, or Tune's sign that there is none."""
        if not self.queue and not self._extend():
            return Searcher.FINISHED
        trial = self.queue.popleft()
        self.running[trial_id] = trial
        return self.arguments(trial)

    def _extend(self) -> bool:
        if self.optuna is None or self.num_settings == 0:
            return False
        setting = self.optuna.suggest(f"setting-{self.next_index}")
        group = f"{group_name(setting)}-{self.next_index}"
        new = [
            make_trial(self.sweep, setting, seed, index=self.next_index, group=group)
            for seed in self.sweep.seeds
        ]
        for trial in new:
            self.on_new(trial)
        self.queue.extend(new)
        self.scores[self.next_index] = []
        self.next_index += 1
        self.num_settings -= 1
        return True

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Give Optuna the result of a setting once all of its seeds have ended."""
        trial = self.running.pop(trial_id, None)
        if trial is None or self.optuna is None or trial.index not in self.scores:
            return
        scores = self.scores[trial.index]
        if error or result is None or not result.get("whole"):
            scores.append(None)
        else:
            scores.append(float(result["aubc"]))
        if len(scores) < len(self.sweep.seeds):
            return
        known = [score for score in scores if score is not None]
        name = f"setting-{trial.index}"
        if len(known) < len(scores):  # failed or stopped: no score at the full budget
            self.optuna.on_trial_complete(name, error=True)
        else:
            self.optuna.on_trial_complete(name, {"aubc": sum(known) / len(known)})

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: a sweep resumes from its trials' files and journals."""


def check_search(sweep: SweepConfig) -> None:
    """Refuse a search that this installation cannot make.

    Raises:
        ConfigError: optuna is wanted and not installed.
    """
    if sweep.search.kind == "optuna":
        open_optuna(sweep, [])


def open_optuna(sweep: SweepConfig, known: list[tuple[dict[str, Any], float]]) -> Any:
    """Return Tune's OptunaSearch over the sweep's space.

    Raises:
        ConfigError: optuna is not installed.
    """
    try:  # optuna is an optional package
        import optuna
        from ray.tune.search.optuna import OptunaSearch
    except ImportError:
        raise ConfigError(
            f"sweep {sweep.name}: search.kind=optuna needs the package optuna; pip install optuna"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {key: _distribution(optuna, space) for key, space in sweep.space.items()}
    search = OptunaSearch(
        space=space, metric="aubc", mode="max", seed=sweep.search.seed + len(known)
    )
    for setting, objective in known:
        search.add_evaluated_point(setting, objective)
    return search


def _distribution(optuna: Any, space: ParameterSpace) -> Any:
    if space.kind == "choice":
        return optuna.distributions.CategoricalDistribution(space.values)
    low, high = space.values
    if space.kind == "int_range":
        return optuna.distributions.IntDistribution(int(low), int(high))
    return optuna.distributions.FloatDistribution(low, high, log=space.kind == "log_range")
