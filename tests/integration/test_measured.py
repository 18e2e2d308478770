"""Models that choose and models that are measured, in whole runs without Ray."""

import csv
import json
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import invoke
from helpers.measured import VALUES, configure
from helpers.run_reading import events_of, state_of
from PIL import Image

from ray_al.compare.grouping import choose_measure, group_runs
from ray_al.compare.runs import read_run
from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError, DivergedError, Interrupted, VerifyError
from ray_al.core.storage import Storage
from ray_al.datasets.synthetic import write_synthetic
from ray_al.driver.create import create_run
from ray_al.driver.final import train_final
from ray_al.driver.fork import fork_run, start_config
from ray_al.driver.loop import run_loop
from ray_al.driver.pool import read_table
from ray_al.driver.settings import change_settings
from ray_al.driver.verify import verify
from ray_al.ledger import Journal
from ray_al.sweep.config import load_sweep
from ray_al.sweep.estimate import estimate, estimate_text
from ray_al.sweep.plan import plan_trials
from ray_al.sweep.trial import host_trial


def rows_of(run):
    return list(csv.DictReader(Storage(run).read("curve.csv").decode().splitlines()))


@pytest.fixture(scope="module")
def measured(data, tmp_path_factory):
    run = create_run(configure(data), str(tmp_path_factory.mktemp("measured") / "run"))
    run_loop(run)
    return run


def test_fresh_models_are_measured_at_the_named_budgets(measured):
    models = events_of(measured, "model_measured")
    assert [(one["cycle"], one["repeat"]) for one in models] == [(0, 0), (0, 1), (2, 0), (2, 1)]
    assert {one["num_steps"] for one in models} == {3}
    assert {one["num_steps"] for one in events_of(measured, "cycle_trained")} == {1}
    first, last = events_of(measured, "models_measured")
    assert (first["cycle"], first["budget"], last["cycle"], last["budget"]) == (0, 4, 2, 12)
    assert first["mious"] == [one["metrics"]["val"]["miou"] for one in models[:2]]
    assert first["mious"][0] != first["mious"][1]
    assert first["miou"] == pytest.approx(statistics.mean(first["mious"]))
    assert first["spread"] == pytest.approx(statistics.stdev(first["mious"]))
    kinds = [event.kind for event in Journal(Storage(measured)).events]
    assert kinds[-2:] == ["models_measured", "run_finished"]
    verify(measured)


def test_no_measured_model_leaves_a_file(measured):
    assert not list(Path(measured).rglob("measured-*"))


def test_the_curve_holds_both_models(measured):
    rows = rows_of(measured)
    (first, last) = events_of(measured, "models_measured")
    assert [row["final_miou"] for row in rows] == [
        f"{first['miou']:.6g}",
        "",
        f"{last['miou']:.6g}",
    ]
    assert [row["final_spread"] for row in rows] == [
        f"{first['spread']:.6g}",
        "",
        f"{last['spread']:.6g}",
    ]
    assert [bool(row["measure_seconds"]) for row in rows] == [True, False, True]


def test_what_is_measured_changes_nothing_of_what_is_chosen(measured, data, tmp_path):
    alone = create_run(configure(data, final={"budgets": []}), str(tmp_path / "run"))
    run_loop(alone)
    queries = [
        [Storage(run).read(query.file.path) for query in state_of(run).queries]
        for run in (alone, measured)
    ]
    assert queries[0] == queries[1]
    shared = {"cycle", "labelled_regions", "miou", "pixel_accuracy", "final_miou"}
    rows = [
        [{key: row[key] for key in shared} for row in rows_of(run)] for run in (alone, measured)
    ]
    assert rows[0] == [{**row, "final_miou": ""} for row in rows[1]]
    assert not events_of(alone, "model_measured")


def test_a_stop_between_two_models_loses_none_that_is_done(measured, data, tmp_path, monkeypatch):
    run = create_run(configure(data), str(tmp_path / "run"))
    assert run_loop(run, should_stop=lambda: bool(state_of(run).repeats)).kind == "interrupted"
    assert [one["repeat"] for one in events_of(run, "model_measured")] == [0]
    assert not events_of(run, "models_measured")
    verify(run)
    run_loop(run)
    drop = ("train_seconds", "evaluate_seconds")
    facts = [
        [
            {key: one[key] for key in one if key not in drop}
            for one in events_of(place, "model_measured")
        ]
        for place in (run, measured)
    ]
    assert facts[0] == facts[1]


def test_a_fork_takes_over_what_its_start_measured(data, tmp_path, measured):
    config = configure(data)
    start = start_config(config)
    assert start is not None
    assert start.final.budgets == (4,)
    source = create_run(start, str(tmp_path / "start"))
    run_loop(source)
    fork = fork_run(source, config, str(tmp_path / "fork"))
    assert len(events_of(fork, "model_measured")) == 2
    run_loop(fork)
    assert (
        events_of(fork, "models_measured")[0]["seconds"]
        == events_of(source, "models_measured")[0]["seconds"]
    )
    mious = [
        [one["mious"] for one in events_of(run, "models_measured")] for run in (fork, measured)
    ]
    assert mious[0] == mious[1]
    verify(fork)
    for changed in ({"budgets": [12]}, {"train": {"steps": 2}}, {"repeats": 3}):
        other = fork_run(
            source, configure(data, final=changed), str(tmp_path / f"fork-{'-'.join(changed)}")
        )
        assert not events_of(other, "model_measured")


def test_status_log_and_report_show_what_was_measured(measured):
    last = events_of(measured, "models_measured")[-1]
    facts = json.loads(invoke("status", measured, "--json").output)
    assert facts["measured"] == {
        key: last[key] for key in ("cycle", "budget", "mious", "miou", "spread")
    }
    line = (
        f"measured: mIoU {last['miou']:.4f} ± {last['spread']:.4f} "
        "of 2 models on the labels of cycle 2"
    )
    assert line in invoke("status", measured).output
    log = invoke("log", measured).output
    assert log.count("model_measured") == 4
    assert f'"miou": {last["miou"]}' in log
    assert invoke("report", measured).exit_code == 0
    page = " ".join(Storage(measured).read("report.html").decode().split())
    assert "Measured models" in page
    assert f"{last['miou']:.4f} &plusmn; {last['spread']:.4f}" in page


def test_final_and_upper_bound_train_as_many_models_by_the_same_rule(data, tmp_path):
    run = create_run(configure(data), str(tmp_path / "run"))
    run_loop(run)
    for command in ("final", "upper-bound"):
        result = invoke(command, run)
        assert result.exit_code == 0, result.output
        assert "(2 models) on val" in result.output
    final, full = (
        json.loads(Storage(run).read(f"{kind}/metrics.json")) for kind in ("final", "upper_bound")
    )
    assert final["mious"] == events_of(run, "models_measured")[-1]["mious"]
    assert final["spread"] == pytest.approx(statistics.stdev(final["mious"]))
    assert final["share_of_full_score"] == pytest.approx(final["miou"] / full["miou"])
    assert final["metrics"] == final["models"][0]["metrics"]
    assert [list(final["files"]), len(final["models"]), final["num_steps"]] == [["model.pt"], 2, 3]
    page = invoke("report", run)
    assert page.exit_code == 0
    assert (
        f"all labels, same recipe: {full['miou']:.4f}" in Storage(run).read("report.html").decode()
    )


def test_a_labelled_image_that_breaks_is_left_out_of_what_is_measured(tmp_path):
    root = str(tmp_path / "data")
    write_synthetic(root, num_images=8, seed=0)
    run = create_run(
        configure(root, scoring={"max_quarantined": 0.5}, final={"budgets": [12]}),
        str(tmp_path / "run"),
    )
    run_loop(run, should_stop=lambda: 2 in state_of(run).trained)
    (label, *_) = state_of(run).label_parts
    image_id = read_table(Storage(run), label, ["image_id"]).column("image_id").to_pylist()[0]
    path = Path(root, image_id)
    path.write_bytes(path.read_bytes()[:800])
    assert run_loop(run).kind == "finished"
    models = events_of(run, "model_measured")
    assert [one["left_out"]["images"] for one in models] == [1, 1]
    assert list(state_of(run).quarantined) == [image_id]
    verify(run)


def test_people_label_and_models_are_measured(data, tmp_path):
    config = configure(
        data,
        label={"annotator": "files"},
        budget={"start": 2, "per_cycle": 2, "amount": 4},
        final={"budgets": [2, 4]},
    )
    run = create_run(config, str(tmp_path / "run"))
    while (outcome := run_loop(run)).kind == "waiting":
        folder = Path(outcome.detail)
        for task in json.loads((folder / "tasks.json").read_text())["tasks"]:
            top, left, bottom, right = task["box"]
            Image.open(Path(data, "trainannot", Path(task["image_id"]).name)).crop(
                (left, top, right, bottom)
            ).save(folder / task["answer"])
    assert [one["cycle"] for one in events_of(run, "models_measured")] == [0, 1]
    verify(run)


def test_the_last_labels_are_measured_where_nothing_else_fits(data, tmp_path):
    """Regions have 1,536 pixels: the last 648 are over a tenth of a query and pay for none."""
    budget = {"unit": "pixels", "start": 4000, "per_cycle": 4000, "amount": 11_400}
    run = create_run(
        configure(
            data, regions={"rows": 4, "columns": 2}, budget=budget, final={"budgets": [11_400]}
        ),
        str(tmp_path / "run"),
    )
    assert run_loop(run).detail == "nothing left that fits the budget"
    (models,) = events_of(run, "models_measured")
    assert (models["cycle"], models["budget"]) == (max(state_of(run).trained), 11_400)
    assert not state_of(run).remaining <= 0
    verify(run)


def test_budgets_can_be_named_while_a_run_waits(data, tmp_path):
    run = create_run(configure(data, final={"budgets": []}), str(tmp_path / "run"))
    run_loop(run, should_stop=lambda: 1 in state_of(run).scored)
    refused = invoke("resume", run, "--set", "final.budgets=[13]")
    assert (refused.exit_code, "more than budget.amount" in refused.output) == (2, True)
    done = invoke("resume", run, "--set", "final.budgets=[4, 12]", "--set", "final.train.steps=2")
    assert done.exit_code == 0, done.output
    assert "measured: mIoU" in done.output
    (models,) = events_of(run, "models_measured")  # the first budget was passed before it was named
    assert (models["cycle"], models["budget"]) == (2, 12)
    assert {one["num_steps"] for one in events_of(run, "model_measured")} == {2}


def test_verify_finds_a_changed_mean(measured, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(measured, run)
    (path,) = [
        path
        for path in (run / "journal").iterdir()
        if '"models_measured"' in path.read_text() and '"cycle": 2' in path.read_text()
    ]
    values = json.loads(path.read_text())
    values["data"]["miou"] += 0.1
    path.write_text(json.dumps(values))
    with pytest.raises(VerifyError, match=r"models_measured\): says .* of its models follows"):
        verify(str(run))


def test_a_bad_test_mask_is_found_before_a_run_that_measures(tmp_path):
    root = str(tmp_path / "data")
    write_synthetic(root, num_images=8, seed=0)
    for name in ("val", "valannot"):
        shutil.copytree(Path(root, name), Path(root, name.replace("val", "test")))
    create_run(configure(root), str(tmp_path / "first"))
    next(Path(root, "testannot").glob("*.png")).write_bytes(b"no mask")
    create_run(configure(root, final={"budgets": []}), str(tmp_path / "second"))
    with pytest.raises(ConfigError, match="testannot"):
        create_run(configure(root), str(tmp_path / "third"))
    assert not (tmp_path / "third").exists()


def test_the_test_split_is_recorded(tmp_path):
    root = str(tmp_path / "data")
    write_synthetic(root, num_images=8, seed=0)
    for name in ("val", "valannot"):
        shutil.copytree(Path(root, name), Path(root, name.replace("val", "test")))
    run = create_run(
        configure(root, final={"budgets": [4], "repeats": 1}, budget={"amount": 4}),
        str(tmp_path / "run"),
    )
    run_loop(run)
    (model,) = events_of(run, "model_measured")
    assert model["metrics"]["test"] == model["metrics"]["val"]
    assert events_of(run, "models_measured")[0]["spread"] is None
    assert list(events_of(run, "cycle_trained")[0]["metrics"]) == ["val"]


@pytest.mark.slow
def test_compare_takes_the_measured_models_where_every_run_has_them(data, tmp_path):
    def make(name, **changes):
        run = create_run(configure(data, name=name, **changes), str(tmp_path / name))
        run_loop(run)
        return run

    runs = [
        make(f"{score}-{seed}", seed=seed, strategy={"acquisition": score})
        for score in ("random", "entropy")
        for seed in (0, 1)
    ]
    result = invoke(
        "compare", *runs, "--out", str(tmp_path / "out"), "--json", "--allow", "final.train.steps"
    )
    assert result.exit_code == 0, result.output
    facts = json.loads(result.output)
    assert facts["measure"] == "final_miou"
    refused = invoke(
        "compare", *runs, "--out", str(tmp_path / "no"), "--allow", "final.train.stepz"
    )
    assert (refused.exit_code, "did you mean 'train.steps'" in refused.output) == (2, True)
    by_hand = [events_of(run, "models_measured")[-1]["miou"] for run in runs[2:]]
    assert facts["groups"][1]["final"]["mean"] == pytest.approx(statistics.mean(by_hand))
    assert len(facts["grid"]) == 2
    assert "mIoU is that of the measured models" in (tmp_path / "out" / "compare.html").read_text()
    longer, bare = (
        make("longer", final={"train": {"steps": 4}}),
        make("bare", seed=2, final={"budgets": []}),
    )
    numbers = [read_run(run) for run in runs]
    measure, own = choose_measure(numbers, "miou")
    assert (measure, len(own[0].rows)) == ("miou", 3)
    _, others = choose_measure([*numbers, read_run(longer)], None)
    ((uri, reason),) = group_runs(others, varied=set()).apart
    assert (uri, "final.train.steps is 4" in reason) == (longer, True)
    assert not group_runs(
        [*others[:3], others[-1]], varied=set(), allowed=["final.train.steps"]
    ).apart
    assert choose_measure([*numbers, read_run(bare)], None)[0] == "miou"
    with pytest.raises(ConfigError, match="bare has no measured models"):
        choose_measure([*numbers, read_run(bare)], "final_miou")


def test_a_sweep_counts_measured_models_and_its_trials_share_those_of_their_start(data, tmp_path):
    config = configure(data)
    start = start_config(config)
    host_trial(str(tmp_path / "start"), start, start=None, rungs=[], report=lambda row: None)
    rows: list[Any] = []
    host_trial(
        str(tmp_path / "trial"), config, start=str(tmp_path / "start"), rungs=[], report=rows.append
    )
    assert [row["cycle"] for row in rows] == [0, 1, 2]
    shared = events_of(str(tmp_path / "start"), "model_measured")
    assert events_of(str(tmp_path / "trial"), "model_measured")[:2] == shared
    values = {**VALUES, "data": {**VALUES["data"], "root": data}}
    (tmp_path / "s.yaml").write_text(
        json.dumps(
            {
                "name": "s",
                "run": values,
                "space": {"strategy.acquisition": ["entropy"]},
                "seeds": [0],
            }
        )
    )
    sweep = load_sweep(str(tmp_path / "s.yaml"))
    facts = estimate(sweep, plan_trials(sweep), str(tmp_path / "sweep"))
    # Three cycles of one step; two models of three steps at each of two budgets. The second trial
    # shares the first budget.
    assert [row.steps for row in facts.plan] == [3 + 12, 2 + 6]
    assert [row.measured_steps for row in facts.plan] == [12, 6]
    assert "18 steps of the plan are those of measured models" in estimate_text(facts)


class Log:
    """What a service would be told."""

    def __init__(self, monkeypatch):
        self.told: list[Any] = []
        place = "ray_al.driver.trackers.tensorboard.TensorboardTracker.tell"
        monkeypatch.setattr(
            place, lambda tracker, run, step, numbers, memory: self.told.append((step, numbers))
        )


def test_trackers_are_told_of_a_cycle_once_it_is_measured(data, tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX")
    log = Log(monkeypatch)
    run = create_run(configure(data, tracking={"tensorboard": True}), str(tmp_path / "run"))
    run_loop(run, should_stop=lambda: 0 in state_of(run).trained)
    assert log.told == []
    run_loop(run)
    first, last = events_of(run, "models_measured")
    assert [(step, numbers.get("final_miou")) for step, numbers in log.told] == [
        (0, first["miou"]),
        (1, None),
        (2, last["miou"]),
    ]


def test_trackers_hear_of_last_labels_that_are_measured_late(data, tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX")
    log = Log(monkeypatch)
    budget = {"unit": "pixels", "start": 4000, "per_cycle": 4000, "amount": 11_400}
    config = configure(
        data,
        regions={"rows": 4, "columns": 2},
        budget=budget,
        final={"budgets": [11_400]},
        tracking={"tensorboard": True},
    )
    run = create_run(config, str(tmp_path / "run"))
    run_loop(run)
    cycle = max(state_of(run).trained)
    assert [step for step, _ in log.told] == [*range(cycle + 1), cycle]
    assert log.told[-1][1].keys() == {"cycle", "final_miou", "final_spread", "measure_seconds"}


def test_a_final_training_that_was_stopped_goes_on_with_the_next_model(data, tmp_path):
    run = create_run(configure(data, final={"repeats": 3}), str(tmp_path / "run"))
    run_loop(run)
    storage = Storage(run)

    def train(kind, should_stop=lambda: False):
        told = []
        result = train_final(
            run,
            kind,
            progress=lambda done, total: told.append((done, total)),
            should_stop=should_stop,
        )
        return result, told

    with pytest.raises(Interrupted):
        train(
            "final",
            lambda: (
                len(json.loads(storage.read("final/models.json"))["models"]) == 2
                if storage.exists("final/models.json")
                else False
            ),
        )
    result, told = train("final")
    assert told == [(7, 9), (8, 9), (9, 9)]
    assert list(result.mious) == events_of(run, "models_measured")[-1]["mious"]
    assert sorted(storage.list("final")) == ["checkpoint", "metrics.json"]
    storage.read_ref(result.files["model.pt"])
    assert train("final")[1][0] == (1, 9)
    storage.replace("final/models.json", b"[1")
    assert train("final")[1][0] == (1, 9)


def test_a_measured_model_that_diverges_is_no_reason_for_a_new_run(data, tmp_path):
    """If the recipe changes, the models of a cycle begin anew: no mean mixes two recipes."""
    values = {
        "final": {"budgets": [4, 12], "repeats": 2, "train": {}},
        "train": {"optimizer": "sgd"},
    }
    run = create_run(configure(data, **values), str(tmp_path / "run"))
    run_loop(run, should_stop=lambda: bool(state_of(run).repeats))
    change_settings(run, ["final.train.steps=30", "final.train.learning_rate=1e9"])
    assert state_of(run).repeats == {}
    with pytest.raises(
        DivergedError,
        match=(
            "of the models to be measured, number 1 of 2, with a learning rate of "
            r"1e\+09.*final.train.learning_rate=1e\+08"
        ),
    ):
        run_loop(run)
    change_settings(run, ["final.train.learning_rate=0.01"])
    assert run_loop(run).kind == "finished"
    assert [one["num_steps"] for one in events_of(run, "model_measured")] == [1, 30, 30, 30, 30]
    assert [one["mious"] for one in events_of(run, "models_measured")] == [
        [model.val.miou for model in models.values()] for models in state_of(run).repeats.values()
    ]
    verify(run)


def test_models_on_the_features_of_a_frozen_backbone_are_measured(data, tmp_path):
    model = {
        "kind": "composed",
        "backbone": {"kind": "helpers.tiny_backbones:TinyBackbone"},
        "weights": "none",
    }
    values = {
        **VALUES,
        "data": {**VALUES["data"], "root": data},
        "model": model,
        "final": {**VALUES["final"], "train": {"steps": 3, "mirror_test": True}},
    }
    run = create_run(parse_config(values, source="test"), str(tmp_path / "run"))
    assert run_loop(run).kind == "finished"
    assert [one["cycle"] for one in events_of(run, "models_measured")] == [0, 2]
    result = train_final(run, "final", progress=lambda *steps: None, should_stop=lambda: False)
    assert list(result.mious) == events_of(run, "models_measured")[-1]["mious"]
    verify(run)
