"""Which setting a sweep tries next: the planned ones, then Optuna's."""

from collections import deque
from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from ray_al.core.errors import ConfigError
from ray_al.sweep.config import Space, SweepConfig
from ray_al.sweep.plan import Trial, group_name, make_trial

Arguments = Callable[[Trial], dict[str, Any]]


class SettingSearch(Searcher):
    """Hands out trials. A setting suggested by Optuna is run with every seed; Optuna is told the mean area under the budget curve.

    Args:
        planned: trials to run first.
        known: (setting, objective) of suggestions that earlier sessions of this sweep completed.
        num_settings: settings that Optuna may still suggest.
        on_new: told of each trial that Optuna's suggestion makes, before it is handed out.
        arguments: what Tune gives to the trial function.
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
        trial = self.running.pop(trial_id, None)
        if trial is None or self.optuna is None or trial.index not in self.scores:
            return
        whole = not error and result is not None and result.get("whole")
        scores = self.scores[trial.index]
        scores.append(float(result["aubc"]) if whole and result is not None else None)
        if len(scores) < len(self.sweep.seeds):
            return
        known = [score for score in scores if score is not None]
        name = f"setting-{trial.index}"
        if len(known) < len(scores):  # failed or stopped: no score at the full budget
            self.optuna.on_trial_complete(name, error=True)
        else:
            self.optuna.on_trial_complete(name, {"aubc": sum(known) / len(known)})

    def save(self, checkpoint_path: str) -> None:
        """Nothing: a sweep goes on from its trials' files and ledgers, not from Tune's memory."""


def open_optuna(sweep: SweepConfig, known: list[tuple[dict[str, Any], float]]) -> Any:
    """Tune's OptunaSearch over the sweep's space.

    Raises:
        ConfigError: optuna is not installed.
    """
    try:
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


def _distribution(optuna: Any, space: Space) -> Any:
    if space.kind == "choice":
        return optuna.distributions.CategoricalDistribution(space.values)
    low, high = space.values
    if space.kind == "int_range":
        return optuna.distributions.IntDistribution(int(low), int(high))
    return optuna.distributions.FloatDistribution(low, high, log=space.kind == "log_range")
