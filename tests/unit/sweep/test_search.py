"""The settings that a sweep tries next, by Optuna too, and the limits that end it."""

import sys
from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from ray_al.core.errors import ConfigError
from ray_al.core.storage import Storage
from ray_al.sweep import run as sweep_run
from ray_al.sweep.config import SweepConfig
from ray_al.sweep.create import create_sweep
from ray_al.sweep.label_limit import LabelLimit
from ray_al.sweep.plan import make_trial
from ray_al.sweep.search import SettingSearch, check_search, open_optuna
from ray_al.sweep.trials import Trial
from ray_al.sweep.tuner import Stops

pytestmark = pytest.mark.usefixtures("own_cache")
SPACE: dict[str, Any] = {
    "train.learning_rate": {"log_range": [0.001, 0.1]},
    "train.steps": {"int_range": [2, 9]},
    "strategy.top_share": {"range": [0.2, 0.6]},
    "strategy.acquisition": {"choice": ["entropy", "margin"]},
}


def sweep_of(kind: str = "optuna", **changes: Any) -> SweepConfig:
    """Return a sweep of two seeds."""
    values = {
        "name": "s",
        "run": {"data": {"num_images": 4, "image_size": [32, 32]}},
        "space": SPACE,
        "seeds": [0, 1],
        "search": {"kind": kind, **({} if kind == "grid" else {"trials": 3})},
        **changes,
    }
    return SweepConfig.model_validate(values)


class Asked:
    """A search, and the trials that it announced and handed out."""

    def __init__(
        self, sweep: SweepConfig, planned: list[Trial], num_settings: int = 0, **more: Any
    ) -> None:
        self.new: list[Trial] = []
        self.search = SettingSearch(
            sweep,
            planned,
            arguments=lambda trial: {"name": trial.name, "trial": trial},
            on_new=self.new.append,
            next_index=1,
            num_settings=num_settings,
            **more,
        )

    def next(self, name: str) -> Trial:
        """Return the next trial."""
        trial: Trial = self.search.suggest(name)["trial"]
        return trial


def test_planned_trials_come_in_their_order_and_then_no_more() -> None:
    sweep = sweep_of("random")
    planned = [
        make_trial(sweep, {"train.steps": steps}, 0, index=index, group=f"g{index}")
        for index, steps in enumerate((3, 5))
    ]
    asked = Asked(sweep, planned)
    assert [asked.next(name) for name in "ab"] == planned
    assert asked.search.suggest("c") == Searcher.FINISHED
    assert asked.new == []


def test_a_setting_of_optuna_is_run_with_every_seed() -> None:
    pytest.importorskip("optuna")
    asked = Asked(sweep_of(), [], num_settings=3)
    trials = [asked.next(f"t{number}") for number in range(6)]
    assert asked.search.suggest("t6") == Searcher.FINISHED
    assert asked.new == trials
    assert [(trial.index, trial.seed) for trial in trials] == [
        (index, seed) for index in (1, 2, 3) for seed in (0, 1)
    ]
    for first, second in zip(trials[::2], trials[1::2], strict=True):
        assert first.setting == second.setting and first.group == second.group
        assert first.setting.keys() == SPACE.keys()
        assert 0.001 <= first.config.train.learning_rate <= 0.1
        assert first.config.train.steps in range(2, 10)
        assert 0.2 <= first.setting["strategy.top_share"] <= 0.6
        assert first.config.strategy.acquisition in ("entropy", "margin")
    assert len({trial.group for trial in trials}) == 3


def test_the_seed_of_the_search_decides_what_is_suggested() -> None:
    pytest.importorskip("optuna")
    found = [
        Asked(sweep_of(search={"kind": "optuna", "trials": 3, "seed": seed}), [], 1).next("t")
        for seed in (4, 4, 5)
    ]
    assert found[0] == found[1] != found[2]


class Told:
    """Stands for Tune's search by Optuna and keeps what it is told."""

    def __init__(self) -> None:
        self.results: list[tuple[str, Any]] = []

    def suggest(self, name: str) -> dict[str, Any]:
        """Return the same setting each time."""
        return {"train.steps": 3}

    def on_trial_complete(self, name: str, result: Any = None, error: bool = False) -> None:
        """Keep the result."""
        self.results.append((name, "error" if error else result))


WHOLE = {"whole": True, "aubc": 0.5}


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ({"result": {"whole": True, "aubc": 0.9}}, {"aubc": 0.7}),
        ({"result": {"whole": False, "aubc": 0.9}}, "error"),
        ({"result": None}, "error"),
        ({"result": {"whole": True, "aubc": 0.9}, "error": True}, "error"),
    ],
    ids=["both whole", "one stopped", "one without a result", "one failed"],
)
def test_optuna_learns_the_mean_of_all_seeds_once(last: dict[str, Any], told: Any) -> None:
    pytest.importorskip("optuna")
    asked = Asked(sweep_of(), [], num_settings=1)
    asked.search.optuna = optuna = Told()
    for name in "ab":
        asked.next(name)
    asked.search.on_trial_complete("a", result=WHOLE)
    assert optuna.results == []
    asked.search.on_trial_complete("b", **last)
    (result,) = optuna.results
    assert result == ("setting-1", told if told == "error" else pytest.approx(told))
    asked.search.on_trial_complete("unknown", result=WHOLE)
    assert len(optuna.results) == 1


def test_what_earlier_calls_found_guides_the_search() -> None:
    """After twenty results that favour short training, few suggestions are long."""
    pytest.importorskip("optuna")
    sweep = sweep_of(space={"train.steps": {"int_range": [1, 100]}})
    known = [({"train.steps": steps}, 1 - steps / 100) for steps in range(5, 101, 5)]
    search = open_optuna(sweep, known)
    suggested = [search.suggest(f"s{number}")["train.steps"] for number in range(10)]
    assert sum(steps <= 50 for steps in suggested) >= 8
    fresh = open_optuna(sweep, [])
    unguided = [fresh.suggest(f"s{number}")["train.steps"] for number in range(10)]
    assert sum(unguided) > 1.5 * sum(suggested)


def test_optuna_is_missed_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"search\.kind=optuna needs .*; pip install optuna"):
        check_search(sweep_of())
    check_search(sweep_of("random"))


def test_tune_ends_once_as_many_labels_are_bought() -> None:
    stops = Stops(lambda: False, LabelLimit(10, before={"a": 4, "b": 0}))
    assert not stops("1", {"config": {"name": "a"}, "cost": 12}) and not stops.stop_all()
    assert not stops("2", {"config": {"name": "b"}}) and not stops.stop_all()
    assert not stops("2", {"config": {"name": "b"}, "cost": 2})  # ends all, not this one alone
    assert stops.stop_all()
    assert Stops(lambda: True).stop_all()
    assert not Stops(lambda: False).stop_all()


@pytest.mark.parametrize(
    ("limits", "spent", "expected"),
    [
        ({}, 0, [None]),
        ({"hours": 2}, 0, [pytest.approx(7200 - 600, abs=1)]),
        ({"hours": 0.1}, 0, []),
        ({"labels": 5}, 4, [None]),
        ({"labels": 5}, 5, []),
    ],
    ids=["none", "hours", "hours used by the starts", "labels", "labels bought by the starts"],
)
def test_no_trial_begins_beyond_a_limit(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, Any],
    spent: int,
    expected: list[Any],
) -> None:
    """The shared starts take ten minutes and buy labels: both count."""
    clock = [1000.0]
    given: list[Any] = []

    def make_starts(*arguments: Any) -> int:
        clock[0] += 600
        return spent

    class Connected:
        def __enter__(self) -> None:
            pass

        def __exit__(self, *error: object) -> None:
            pass

    monkeypatch.setattr("ray_al.sweep.run.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(sweep_run, "connect", lambda *arguments, **options: Connected())
    monkeypatch.setattr(sweep_run, "runs_at_once", lambda configs, most: 1)
    monkeypatch.setattr(sweep_run, "_make_starts", make_starts)
    monkeypatch.setattr(
        sweep_run, "fit_trials", lambda session, labels, seconds, before: given.append(seconds)
    )
    sweep = sweep_of("grid", space={"train.steps": {"grid": [2]}}, limits=limits)
    uri = create_sweep(sweep, str(tmp_path / "out"))
    assert not sweep_run._carry_on(Storage(uri), (), lambda progress: None, lambda: False)
    assert given == expected
