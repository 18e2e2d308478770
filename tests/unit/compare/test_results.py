import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from helpers.made_up_runs import made_up
from helpers.paths import ROOT

from ray_al.cli import main
from ray_al.compare.costs import CostModel, with_minutes
from ray_al.compare.grouping import group_runs
from ray_al.compare.results import read_results, write_results
from ray_al.compare.runs import read_runs
from ray_al.core.code_version import code_digest
from ray_al.core.storage import Storage
from ray_al.sweep.config import SweepConfig

FOLDERS = [path.parent for path in ROOT.glob("jobs/results/*/settings.json")]
SETTINGS: dict[str, Any] = {
    "random": {"strategy.acquisition": "random"},
    "entropy": {"strategy.acquisition": "entropy"},
    "unbegun": {"strategy.acquisition": "bvsb"},
}
ENDPOINT: dict[str, Any] = {
    "budgets": [0.04, 0.08],
    "comparisons": [["entropy", "random"], ["unbegun", "random"]],
}
SWEEP = SweepConfig.model_validate(
    {
        "name": "told",
        "run": {"data": {"root": "/data/camvid"}, "model": {"weights": "/data/weights.pth"}},
        "space": {"strategy.acquisition": ["entropy"]},
        "seeds": (10, 11, 12),
        "endpoint": ENDPOINT,
    }
)


def runs_of(seeds=(10, 11, 12)):
    budgets = [50, 100, 200]
    random = [
        made_up(budgets, [0.3, 0.4 + 0.001 * seed, 0.5], seed=seed, full=0.7) for seed in seeds
    ]
    return random + [
        made_up(
            budgets,
            [0.3, 0.45, 0.56 + 0.001 * seed**2],
            seed=seed,
            full=0.7,
            score="entropy",
            clicks=8,
        )
        for seed in seeds
    ]


@pytest.fixture
def folder(tmp_path):
    write_results(runs_of(), SWEEP, SETTINGS, str(tmp_path / "results"))
    return tmp_path / "results"


def test_runs_come_back_as_they_were_written(folder):
    sweep, settings, runs = read_results(Storage(str(folder)))
    assert (sweep.endpoint, sweep.seeds, settings) == (SWEEP.endpoint, SWEEP.seeds, SETTINGS)
    before = {(run.group, run.seed): run for run in runs_of()}
    assert len(runs) == 6
    for run in runs:
        old, new = before[run.group, run.seed], with_minutes(run, CostModel())
        for name in (
            "values",
            "pool",
            "class_names",
            "recipe",
            "class_pixels",
            "num_pixels",
            "num_images",
            "unit_total",
            "full",
            "code",
            "finished",
        ):
            assert getattr(new, name) == getattr(old, name), name
        for some, others in ((new.rows, old.rows), (new.measured, old.measured)):
            for row, other in zip(some, others, strict=True):
                unknown = {key for key, value in other.items() if value is None}
                assert unknown == {key for key, value in row.items() if value is None}
                numbers = {key: value for key, value in other.items() if value is not None}
                assert {key: row[key] for key in numbers} == pytest.approx(numbers, rel=1e-5)


def test_no_file_names_a_place_of_the_machine(folder):
    for file in folder.rglob("*.*"):
        assert "/data" not in file.read_text() and "/runs" not in file.read_text().replace(
            "/runs/", "runs"
        ), file
    assert "root: camvid" in (folder / "sweep.yaml").read_text()
    (csv_file, json_file) = sorted((folder / "runs").glob("entropy-seed10.*"))
    assert list(csv.DictReader(csv_file.open()))[1]["final_miou"] == "0.45"
    facts = json.loads(json_file.read_text())
    assert {"label": "entropy", "seed": 10, "full": 0.7, "code": "c0de"}.items() <= facts.items()


def test_runs_that_are_not_finished_are_left_out(tmp_path):
    names = write_results(
        [made_up([50, 100], [0.3, 0.4], finished=False)], None, {}, str(tmp_path / "out")
    )
    assert names == []


def test_compare_reads_a_folder_of_results_like_its_sweep(folder, tmp_path):
    result = CliRunner().invoke(main, ["compare", str(folder), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "endpoint of told: mean final_miou at 4 %, 8 %" in result.output
    assert "entropy - random     3  +0." in result.output
    assert "unbegun - random     0  no seed has both" in result.output
    assert "saved against random at equal mIoU" in result.output
    assert (tmp_path / "out" / "comparison.txt").read_text() == result.output[
        : result.output.index("page: ")
    ]
    assert "told: At mIoU 0.5" in result.output and "% of random's labels, " in result.output
    assert (
        "In the endpoint entropy differs from random by +0." in result.output
        and "(3 seeds; p = " in result.output
    )
    page = (tmp_path / "out" / "compare.html").read_text()
    assert "p (Holm)" in page and "5 s an image" in page
    facts = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert facts["measure"] == "final_miou" and facts["endpoints"][0]["comparisons"][0][
        "p_holm"
    ] == pytest.approx(2 * facts["endpoints"][0]["comparisons"][0]["p"])
    assert [group["label"] for group in facts["groups"]] == ["random", "entropy"]
    assert facts["groups"][1]["saved"]["costs"].keys() == {"pixels", "clicks", "minutes"}
    summary = list(csv.DictReader((tmp_path / "out" / "summary.csv").open()))
    assert float(summary[0]["labelling_minutes"]) > 0 and summary[1]["minutes_saved"] != ""


def test_compare_by_cost_reads_several_folders(folder, tmp_path):
    images = [
        made_up(
            [5, 20, 50],
            [0.3, 0.5, 0.68],
            seed=seed,
            kind="image",
            clicks=100,
            group="images",
            full=0.7,
        )
        for seed in (10, 11)
    ]
    images = [
        run.__class__(**{**run.__dict__, "values": {**run.values, "budget.unit": "images"}})
        for run in images
    ]
    write_results(images, None, {}, str(tmp_path / "images"))
    arguments = [
        "compare",
        str(folder),
        str(tmp_path / "images"),
        "--by",
        "cost",
        "--seconds",
        "click=1",
        "--out",
        str(tmp_path / "out"),
    ]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "minutes saved against random images (%)" in result.output
    assert "1 s a click on an outline" in result.output
    assert "entropy 5x5" in result.output
    assert (
        "clicks were cut off at label.max_clicks in most labels of random images" in result.output
    )
    assert (tmp_path / "out" / "costs.svg").exists()


def test_export_of_a_folder_of_results_is_that_folder(folder, tmp_path):
    result = CliRunner().invoke(main, ["compare", str(folder), "--export", str(tmp_path / "again")])
    assert result.exit_code == 0, result.output
    assert "results of 6 runs" in result.output
    for file in folder.rglob("*.*"):
        assert file.read_bytes() == (tmp_path / "again" / file.relative_to(folder)).read_bytes(), (
            file
        )


def test_runs_with_other_validation_images_are_set_apart():
    runs = [
        made_up([50, 100], [0.3, 0.4], seed=seed, validation="one", uri=f"r{seed}")
        for seed in (0, 1)
    ]
    other = made_up([50, 100], [0.3, 0.4], seed=2, validation="two", uri="r2")
    ((uri, reason),) = group_runs([*runs, other], varied=set()).apart
    assert (uri, reason) == ("r2", "not comparable: validation is 'two', the others' 'one'")
    unknown = made_up([50, 100], [0.3, 0.4], seed=3, uri="r3")
    assert not group_runs([*runs, unknown], varied=set()).apart


def test_a_setting_that_came_after_a_run_has_its_default_there():
    values = {"train.loss": "cross_entropy", "train.keep": "last", "data.tile": None}
    old = made_up([50, 100], [0.3, 0.4], seed=0, uri="old")
    new = made_up([50, 100], [0.3, 0.4], seed=1, uri="new", values=values)
    assert not group_runs([old, new], varied=set()).apart
    other = made_up([50, 100], [0.3, 0.4], seed=2, uri="other", values={"train.loss": "dice"})
    ((uri, reason),) = group_runs([old, new, other], varied=set()).apart
    assert (uri, reason) == (
        "other",
        "not comparable: train.loss is 'dice', the others' 'cross_entropy'",
    )


def test_compare_by_cost_names_the_runs_that_it_sets_apart(folder, tmp_path):
    other = made_up([50, 100], [0.3, 0.4], seed=14, full=0.7, values={"train.loss": "dice"})
    write_results([other], None, {}, str(tmp_path / "other"))
    places = [str(folder), str(tmp_path / "other")]
    result = CliRunner().invoke(
        main, ["compare", *places, "--by", "cost", "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 0, result.output
    assert "train.loss is 'dice', the others' 'cross_entropy'" in result.output


def test_another_export_adds_the_seeds_that_were_finished_since(folder):
    write_results(runs_of((10, 11, 12, 13)), SWEEP, SETTINGS, str(folder))
    assert len(read_runs([str(folder)]).runs) == 8


WRONG: dict[str, Any] = {
    "no JSON": ("runs/random-seed10.json", "{", "is no JSON"),
    "no mapping": ("runs/random-seed10.json", "[]", "holds no keys"),
    "keys missing": ("runs/random-seed10.json", '{"label": "random"}', "class_names, class_pixels"),
    "no number": ("runs/random-seed10.csv", "cycle,cost\nx,1\n", "not as it was written"),
    "no columns": ("runs/random-seed10.csv", "cycle,cost\n0,1\n1,2\n2,3\n", "columns final_miou"),
    "no such cycle": ("runs/random-seed10.csv", "cycle,final_miou\n", "not as it was written"),
    "another sweep file": ("sweep.yaml", "endpoint: {budgetz: []}\n", "sweep.yaml"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_damaged_folder_is_one_message(kind, folder, tmp_path):
    name, content, word = WRONG[kind]
    (folder / name).write_text(content)
    result = CliRunner().invoke(main, ["compare", str(folder), "--out", str(tmp_path / "out")])
    assert (result.exit_code, word in result.output, "\n" in result.output.strip()) == (
        2,
        True,
        False,
    ), result.output
    assert not (tmp_path / "out").exists()


def test_a_missing_curve_is_named(folder, tmp_path):
    Path(folder, "runs", "random-seed10.csv").unlink()
    result = CliRunner().invoke(main, ["compare", str(folder), "--out", str(tmp_path / "out")])
    assert (result.exit_code, "random-seed10.csv: is missing" in result.output) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "--out DIR"),
        (["--out", "{out}", "--seconds", "walk=3"], "--seconds 'walk=3'"),
        (["--out", "{out}", "--by", "cost", "--at", "0.04"], "--by cost compares at equal scores"),
        (["--out", "{out}", "--by", "cost", "--reference", "none"], "--reference 'none'"),
        (["{folder}b", "--export", "{out}"], "several sweeps"),
    ],
)
def test_wrong_use(folder, tmp_path, arguments, word):
    write_results(runs_of(), SWEEP, SETTINGS, f"{folder}b")
    filled = [argument.format(out=tmp_path / "out", folder=folder) for argument in arguments]
    result = CliRunner().invoke(main, ["compare", str(folder), *filled])
    assert (result.exit_code, word in result.output) == (2, True), result.output
    assert not (tmp_path / "out").exists()


def test_the_digest_of_the_code_is_short_and_stays():
    assert len(code_digest()) == 12 and int(code_digest(), 16) >= 0
    assert code_digest() == code_digest()


@pytest.mark.parametrize("place", FOLDERS, ids=lambda place: place.name)
def test_committed_results_can_be_read(place):
    """Each folder that a sweep was exported to, with its file and its runs."""
    sweep, settings, runs = read_results(Storage(str(place)))
    assert sweep is not None
    assert settings and runs
    assert {run.code for run in runs} != {""}
