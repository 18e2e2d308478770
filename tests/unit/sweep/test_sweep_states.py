"""How far the trials of a sweep are, and what is left to run; without Ray."""

import pytest
import yaml
from click.testing import CliRunner

from ray_al.cli import main
from ray_al.core.errors import ConfigError
from ray_al.core.storage import Storage
from ray_al.driver.resources import run_resources
from ray_al.sweep.config import load_sweep
from ray_al.sweep.create import create_sweep
from ray_al.sweep.directory import (
    TrialOutcome,
    read_outcome,
    read_start,
    read_sweep,
    read_trials,
    write_outcome,
    write_start,
)
from ray_al.sweep.fit import Session, _largest_host, _planned, _progress_so_far
from ray_al.sweep.plan import choose_trials
from ray_al.sweep.starts import missing_starts
from ray_al.sweep.states import is_complete, read_state
from ray_al.sweep.table import sweep_table, sweep_text


@pytest.fixture
def storage(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run = {
        "data": {"num_images": 6, "image_size": [32, 32]},
        "model": {"name": "helpers.made_up_runs:tiny"},
        "train": {"steps": 2},
        "budget": {"start": "4 %", "per_cycle": "4 %", "amount": "12 %"},
    }
    space = {"strategy.acquisition": ["entropy", "margin"]}
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump({"run": run, "space": space}))
    return Storage(create_sweep(load_sweep(str(file)), str(tmp_path / "out")))


def session_of(storage, **scheduler):
    sweep = read_sweep(storage)
    changed = sweep.scheduler.model_copy(update=scheduler)
    return Session(
        storage=storage,
        sweep=sweep.model_copy(update={"scheduler": changed}),
        trials=read_trials(storage),
        at_once=1,
        show=lambda progress: None,
        should_stop=lambda: False,
    )


def test_trials_that_ended_are_not_planned_again_but_compared_by_a_scheduler(storage):
    random, entropy, margin = read_trials(storage)
    write_outcome(storage.root, entropy.name, state="stopped", budget=0.08)
    write_outcome(storage.root, margin.name, state="failed", error="out of memory")
    states = {trial.name: read_state(storage, trial) for trial in read_trials(storage)}
    assert list(states.values()) == ["waiting", "stopped", "failed"]
    assert [trial.name for trial in _planned(session_of(storage), states)] == [random.name]
    compared = _planned(session_of(storage, kind="asha", first=0.08), states)
    assert [trial.name for trial in compared] == [entropy.name, random.name]
    progress = _progress_so_far(session_of(storage), states)
    assert (progress.total, progress.num_done_before, progress.seconds_left) == (3, 2, None)
    assert not is_complete(storage)
    assert "error: out of memory" in sweep_text(sweep_table(storage.root))
    assert read_outcome(storage, margin.name) == TrialOutcome(state="failed", error="out of memory")


def test_a_start_is_shared_by_trials_that_wait_for_it(storage):
    trials = read_trials(storage)
    ((digest, config),) = missing_starts(storage, trials).items()
    assert missing_starts(storage, trials[:1]) == {}
    write_start(storage, digest, config)
    assert read_start(storage, digest) == config
    assert _largest_host(trials) == run_resources(trials[0].config).host


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ((), ["random-topk-seed0", "entropy-seed0", "margin-seed0"]),
        (("random-topk",), ["random-topk-seed0"]),
        (("m*", "entropy-seed0"), ["entropy-seed0", "margin-seed0"]),
    ],
)
def test_a_call_may_run_some_trials_only(storage, only, names):
    chosen = choose_trials(read_sweep(storage), read_trials(storage), only)
    assert [trial.name for trial in chosen] == names


def test_a_name_that_no_trial_has_is_refused_before_anything_is_written(storage, tmp_path):
    sweep = read_sweep(storage)
    with pytest.raises(ConfigError, match=r"no trial 'bald'; its settings are entropy, margin"):
        create_sweep(sweep, str(tmp_path / "new"), ("random-topk", "bald"))
    assert not (tmp_path / "new").exists()
    result = CliRunner().invoke(main, ["sweep", "--resume", storage.root, "--only", "bald"])
    assert (result.exit_code, "no trial 'bald'" in result.output) == (2, True)


@pytest.mark.parametrize("changed", ["scheduler", "search"])
def test_a_sweep_that_must_see_all_trials_runs_all(storage, changed):
    sweep = read_sweep(storage)
    kind = {"scheduler": "asha", "search": "optuna"}[changed]
    section = getattr(sweep, changed).model_copy(update={"kind": kind})
    sweep = sweep.model_copy(update={changed: section})
    with pytest.raises(ConfigError, match=f"{changed}.kind={kind}"):
        choose_trials(sweep, read_trials(storage), ("entropy",))
