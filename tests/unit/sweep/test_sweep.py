from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from helpers.records import cycle_trained, run_created

from ray_al.cli import main
from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.types import PoolSizes
from ray_al.driver.budget import planned_amount, whole_budget
from ray_al.driver.resources import run_resources
from ray_al.ledger import State
from ray_al.sweep.config import ParameterSpace, load_sweep
from ray_al.sweep.effective import effective_values
from ray_al.sweep.label_limit import LabelLimit
from ray_al.sweep.naming import group_label, group_name, group_names, is_random_draw
from ray_al.sweep.plan import plan_trials
from ray_al.sweep.progress import Reached, SweepProgress
from ray_al.sweep.reporting import budget_rows, interpolate, is_crossed
from ray_al.sweep.schedulers import open_scheduler, rungs_of
from ray_al.sweep.settings import fixed_settings, value_at
from ray_al.sweep.table import progress_line

pytestmark = pytest.mark.usefixtures("own_cache")

BASE = {"data": {"num_images": 6, "image_size": [32, 32]}, "train": {"steps": 2}}


def write(folder, **values):
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({"run": BASE, **values}, sort_keys=False))
    return str(path)


def test_settings_that_make_the_same_run_are_run_once(tmp_path):
    batches = [{"kind": "topk"}, {"kind": "power", "beta": 0.5}, {"kind": "power", "beta": 2.0}]
    space = {"strategy.acquisition": ["random", "entropy"], "strategy.batch": batches}
    trials = plan_trials(load_sweep(write(tmp_path, space=space, seeds=[0, 3])))
    names = [trial.name for trial in trials]
    assert names == [
        f"{group}-seed{seed}"
        for seed in (0, 3)
        for group in (
            "random-topk",
            "entropy-topk",
            "entropy-power-beta0.5",
            "entropy-power-beta2.0",
        )
    ]
    assert all(trial.config.cluster.host == "process" for trial in trials)


def test_a_setting_of_one_kind_does_not_concern_the_others_on_the_axis(tmp_path):
    space = {
        "strategy.acquisition": ["random", "entropy"],
        "strategy.batch.kind": ["topk", "power"],
        "strategy.batch.beta": [0.5, 2.0],
    }
    trials = plan_trials(load_sweep(write(tmp_path, space=space, seeds=[0])))
    assert [trial.config.strategy.batch.model_dump() for trial in trials[1:]] == [
        {"kind": "topk"},
        *(
            {"kind": "power", "beta": beta, "schedule": "constant", "growth": 100.0}
            for beta in (0.5, 2.0)
        ),
    ]
    assert [trial.group for trial in trials] == [
        "random-topk",
        "entropy-topk-beta0.5",
        "entropy-power-beta0.5",
        "entropy-power-beta2.0",
    ]
    with pytest.raises(ConfigError, match=r"strategy.batch.keep.*'two_stage'"):
        plan_trials(
            load_sweep(
                write(
                    tmp_path,
                    space={"strategy.batch.kind": ["topk", "power"], "strategy.batch.keep": [0.5]},
                )
            )
        )


def test_a_setting_of_one_score_does_not_concern_the_others_on_the_axis(tmp_path):
    space = {"strategy.acquisition": ["entropy", "ripu"], "strategy.radius": [1, 2]}
    trials = plan_trials(load_sweep(write(tmp_path, space=space, seeds=[0])))
    assert [(one.config.strategy.acquisition, one.config.strategy.radius) for one in trials] == [
        ("random", None),
        ("entropy", None),
        ("ripu", 1),
        ("ripu", 2),
    ]
    with pytest.raises(ConfigError, match=r"strategy.radius \(value 1\): .*function 'ripu'"):
        plan_trials(load_sweep(write(tmp_path, space={"strategy.radius": [1]}, seeds=[0])))


def test_a_default_that_is_written_out_makes_the_same_run(tmp_path):
    space = {"strategy": [{"acquisition": "ripu"}, {"acquisition": "ripu", "radius": 1}]}
    trials = plan_trials(load_sweep(write(tmp_path, space=space, seeds=[0])))
    assert [one.config.strategy.acquisition for one in trials] == ["random", "ripu"]
    assert effective_values(trials[1].config, exclude=set())["strategy"]["radius"] == 1


def test_random_settings_are_the_same_at_every_call(tmp_path):
    space = {"strategy.batch.kind": ["power"], "strategy.batch.beta": {"log_range": [0.1, 10]}}
    sweep = load_sweep(write(tmp_path, space=space, search={"kind": "random", "trials": 5}))
    settings = fixed_settings(sweep)
    assert settings == fixed_settings(sweep)
    assert len(settings) == 6
    assert all(0.1 <= setting["strategy.batch.beta"] <= 10 for setting in settings[1:])


def test_draws_cover_their_space():
    assert [
        value_at(ParameterSpace(choice=("a", "b")), position) for position in (0, 0.49, 0.5, 0.99)
    ] == [
        "a",
        "a",
        "b",
        "b",
    ]
    assert [
        value_at(ParameterSpace(int_range=(1, 3)), position) for position in (0, 0.34, 0.999)
    ] == [
        1,
        2,
        3,
    ]
    assert value_at(ParameterSpace(log_range=(0.01, 1)), 0.5) == pytest.approx(0.1)
    assert value_at(ParameterSpace(range=(2, 4)), 0.25) == 2.5


def test_group_names():
    assert (
        group_name(
            {"strategy": {"acquisition": "entropy", "batch": {"kind": "power", "beta": 1.0}}}
        )
        == "entropy-power-beta1.0"
    )
    assert group_name({"budget.per_cycle": "2 %"}) == "per_cycle2"
    assert group_name({"budget": {"amount": 9}}) == "amount9"
    assert group_name({}) == "base"
    further = {"strategy.acquisition": "random", "budget": {"amount": 9}, "final.budgets": [1, 9]}
    assert group_names([further, {"strategy.acquisition": "bvsb"}]) == ["random", "bvsb"]
    assert group_names([further, {"strategy.acquisition": "random"}]) == [
        "random-amount9-budgets19",
        "random",
    ]


WRONG: dict[str, Any] = {
    "no file": (None, "none.yaml"),
    "unknown key": ({"spaces": {}}, "did you mean 'space'"),
    "unknown key of a run": ({"space": {"train.stepz": [1, 2]}}, "did you mean 'steps'"),
    "bad value in the space": ({"space": {"train.steps": [2, -1]}}, "train.steps"),
    "bad end of a range": (
        {
            "space": {"train.learning_rate": {"range": [-1, 1]}},
            "search": {"kind": "random", "trials": 3},
        },
        "train.learning_rate",
    ),
    "a range in a grid": (
        {"space": {"train.learning_rate": {"range": [0.1, 1]}}},
        "search.kind=grid",
    ),
    "an empty range": (
        {"space": {"train.learning_rate": {"log_range": [1, 0.1]}}},
        "space.train.learning_rate",
    ),
    "two kinds": ({"space": {"train.steps": {"grid": [1], "choice": [2]}}}, "exactly one"),
    "the same seed twice": ({"seeds": [1, 1]}, "seeds"),
    "a random search without a number": (
        {"space": {"train.steps": {"choice": [1]}}, "search": {"kind": "random"}},
        "trials is missing",
    ),
    "no first rung": ({"scheduler": {"kind": "asha"}}, "scheduler.first"),
    "a first rung before the start": (
        {"scheduler": {"kind": "asha", "first": 0.01}},
        "scheduler.first",
    ),
    "shares of clicks": (
        {
            "scheduler": {"kind": "asha", "first": 0.2},
            "run": {
                **BASE,
                "budget": {"unit": "clicks", "start": 200, "per_cycle": 200, "amount": 400},
            },
        },
        "budget.unit=clicks",
    ),
    "a budget beyond the pool": (
        {"space": {"budget.amount": [20, 100_000]}},
        "budget.amount: 100000",
    ),
    "people": ({"run": {**BASE, "label": {"annotator": "files"}}}, "label.annotator"),
    "unknown model": ({"space": {"model.name": ["fcn_resnet50", "fcn_resnet5"]}}, "fcn_resnet50"),
    "a key inside another": (
        {"space": {"strategy": [{"acquisition": "entropy"}], "strategy.acquisition": ["equal"]}},
        "one holds the other",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_sweep_file_is_one_message_and_no_directory(kind, tmp_path):
    values, word = WRONG[kind]
    path = "none.yaml" if values is None else write(tmp_path, **values)
    result = CliRunner().invoke(main, ["sweep", path, "--out", str(tmp_path / "out")])
    assert result.exit_code == 2, result.output
    message = result.output.strip()
    assert message.startswith("error: ")
    assert word in message
    assert "\n" not in message
    assert not (tmp_path / "out").exists()


def test_sweep_takes_a_file_or_a_directory(tmp_path):
    assert CliRunner().invoke(main, ["sweep"]).exit_code == 2
    assert CliRunner().invoke(main, ["sweep", "--resume", str(tmp_path)]).exit_code == 2
    assert CliRunner().invoke(main, ["sweep", "a.yaml", "--resume", str(tmp_path)]).exit_code == 2


def test_a_plan_is_printed_and_nothing_run(tmp_path):
    quick = {**BASE, "model": {"name": "helpers.networks:linear"}}  # its steps are timed
    result = CliRunner().invoke(
        main, ["sweep", write(tmp_path, run=quick, seeds=[0, 1]), "--dry-run"]
    )
    assert result.exit_code == 0
    # the reference and the base, each of six cycles of 2 steps; the second run of a seed shares
    # the first one's cycle 0
    assert "4 trials" in result.output
    assert "44 training steps" in result.output
    # 4 validation images per trained cycle, and 6 pool images for each of the base's 5 queries
    assert "148 forward passes" in result.output


class Trial:
    def __init__(self, name, group):
        self.trial_id, self.config = name, {"name": name, "group": group}


def curve(per_cycle, slope, total=1000):
    """Rows of a made-up run whose mIoU is `slope` times the square root of the budget."""
    budget = RunConfig().budget.model_copy(
        update={"start": 0.02, "per_cycle": per_cycle, "amount": 0.5}
    )
    pool = PoolSizes(num_images=1, num_regions=total, num_pixels=1)
    spent, rows, cycle = planned_amount(budget, pool, -1, 10**9), [], 0
    amount = whole_budget(budget, pool)
    while True:
        rows.append(
            {
                "cycle": cycle,
                "budget": spent / total,
                "unit": 1 / total,
                "miou": slope * (spent / total) ** 0.5,
            }
        )
        if spent >= amount:
            return rows
        spent += planned_amount(budget, pool, cycle, amount - spent)
        cycle += 1


@pytest.mark.parametrize("kind", ["asha", "median"])
def test_trials_of_other_query_sizes_are_compared_at_the_rungs_budget(kind, tmp_path):
    sweep = load_sweep(
        write(tmp_path, scheduler={"kind": kind, "first": "4 %", "reduction": 2, "min_trials": 2})
    )
    stopped: dict[Any, Any] = {}
    scheduler = open_scheduler(
        sweep, reference="random", on_stop=lambda name, budget: stopped.setdefault(name, budget)
    )
    told = []
    runs = {
        "fine": (0.01, 0.5),
        "coarse": (0.04, 0.55),
        "random": (0.01, 0.1),
        "bad": (0.04, 0.1),
        "worse": (0.01, 0.05),
    }
    for name, (per_cycle, slope) in runs.items():
        trial = Trial(name, "random" if name == "random" else "other")
        scheduler.on_trial_add(None, trial)
        before = None
        for row in curve(per_cycle, slope):
            for rung in rungs_of(sweep):
                if name not in stopped and is_crossed(rung, before, row):
                    result = {"budget": rung, "rung_miou": interpolate(rung, before, row)}
                    told.append((name, rung, result["rung_miou"]))
                    scheduler.on_trial_result(None, trial, result)
            assert (
                name in stopped
                or scheduler.on_trial_result(
                    None, trial, {"budget": row["budget"], "miou": row["miou"]}
                )
                == "CONTINUE"
            )
            before = row
    assert set(stopped) == {"bad", "worse"}
    if kind == "asha":
        assert set(stopped.values()) == {0.04}
        compared = {name: value for name, rung, value in told if rung == 0.08}
        assert set(compared) == {"fine", "coarse", "random"}
        # the coarse run has points at 6 % and 10 %: at 8 % it stands for the line between them
        assert compared["coarse"] == pytest.approx(0.55 * (0.06**0.5 + 0.1**0.5) / 2)
        assert compared["fine"] == pytest.approx(0.5 * 0.08**0.5)


@pytest.mark.parametrize(
    ("unit", "cost", "share"),
    [("regions", 2, 0.1), ("pixels", 30, 0.3), ("images", 2, 0.5), ("clicks", 10, 0.25)],
)
def test_a_budget_is_a_share_of_the_pool_in_its_unit(unit, cost, share):
    created = run_created(num_regions=20, num_pixels=100, num_images=4, unit=unit, amount=40)
    labelled = {"regions": 2, "pixels": 30, "images": 2, "clicks": 10, "cost": cost}
    trained = {0: cycle_trained(labelled=labelled)}
    (row,) = budget_rows(State(created=created, trained=trained))
    assert row["budget"] == pytest.approx(share)


def test_resources_of_a_run():
    config = RunConfig()
    alone = run_resources(
        config.model_copy(update={"scoring": config.scoring.model_copy(update={"workers": 0})})
    )
    assert (alone.host, alone.cpus, alone.gpus) == ({"CPU": 2.0}, 2.0, 0.0)
    train = config.train.model_copy(update={"workers": 4, "gpus_per_worker": 1.0})
    score = config.scoring.model_copy(update={"workers": 2, "gpus_per_worker": 1.0})
    many = run_resources(config.model_copy(update={"train": train, "scoring": score}))
    assert many.host == {"CPU": 0.01}
    assert (many.cpus, many.gpus) == (
        4.01,
        4.0,
    )  # the group ends before scoring: both never hold GPUs at once


def test_rules_on_random_scores_have_a_label_of_their_own():
    assert (
        group_label({"strategy.acquisition": "random", "strategy.batch.kind": "topk"}) == "random"
    )
    assert (
        group_label({"strategy.acquisition": "random", "strategy.batch.kind": "kcenter"})
        == "random-kcenter"
    )


def test_a_session_counts_the_labels_that_it_buys_itself():
    label_limit = LabelLimit(24, before={"begun": 16, "finished": 40, "forked": 4}, bought=4)
    for trial, spent in (
        ("finished", 4),
        ("finished", 40),
        ("begun", 12),
        ("begun", 16),
        ("forked", 4),
    ):
        label_limit.report(trial, spent)  # a scheduler is told all rows again
    assert not label_limit.is_reached
    label_limit.report("forked", 16)
    label_limit.report("begun", 20)
    assert not label_limit.is_reached  # 4 of the start, 12 and 4
    label_limit.report("suggested", 4)
    assert label_limit.is_reached
    assert not LabelLimit(None, before={}).is_reached


LAZY = {**BASE, "strategy": {"acquisition": "entropy", "lazy": {"share": 0.5}}}


def test_a_base_that_scores_lazily_is_swept_beside_random_scores(tmp_path):
    trials = plan_trials(
        load_sweep(
            write(
                tmp_path, run=LAZY, space={"strategy.acquisition": ["random", "entropy", "margin"]}
            )
        )
    )
    assert {
        trial.config.strategy.acquisition: trial.config.strategy.lazy is not None
        for trial in trials
    } == {
        "random": False,
        "entropy": True,
        "margin": True,
    }


def test_a_setting_that_cannot_work_is_named(tmp_path):
    message = refused(write(tmp_path, run=LAZY, space={"strategy.acquisition": ["class_balanced"]}))
    assert (
        "trial class_balanced with strategy.acquisition='class_balanced': strategy.lazy" in message
    )
    reference = {"strategy.acquisition": "random", "strategy.lazy.share": 0.1}
    assert "(the reference: `reference` of the sweep" in refused(
        write(tmp_path, run=LAZY, reference=reference)
    )


def refused(path):
    with pytest.raises(ConfigError) as caught:
        plan_trials(load_sweep(path))
    return str(caught.value)


def test_the_time_left_follows_from_the_trials_of_this_call(monkeypatch):
    monkeypatch.setattr("ray_al.sweep.progress.time.monotonic", lambda: 600.0)
    done = dict.fromkeys(("a", "b", "c"), "finished")
    resumed = SweepProgress(total=8, done=done, num_done_before=3, started=0.0)
    assert resumed.seconds_left is None
    resumed.done["d"] = "finished"  # the first of this call, after 600 seconds; 4 are left
    assert resumed.seconds_left == 2400
    resumed.running.add("e")
    resumed.reached["e"] = Reached(cycle=2, budget=0.06, miou=0.5)
    line = "4 of 8 trials done, 40 min left; running: e cycle 2 6.00 % mIoU 0.500"
    assert progress_line(resumed) == line


def test_a_rule_that_ranks_random_scores_draws_at_random():
    power = {
        "strategy.acquisition": "random",
        "strategy.batch.kind": "power",
        "strategy.batch.beta": 2,
    }
    assert is_random_draw(power) and group_label(power) == "random"
    assert not is_random_draw({**power, "strategy.acquisition": "entropy"})
    assert not is_random_draw({**power, "strategy.batch.kind": "kcenter"})
    own = {"strategy.acquisition": "nowhere:score", "strategy.batch.kind": "nowhere:Rule"}
    assert not is_random_draw(own)  # names that nobody can import are not imported
    assert not is_random_draw({**own, "strategy.acquisition": "random"})
