import json
import re

import click
import pytest
from helpers.commands import invoke
from helpers.paths import ROOT

from ray_al.acquisition import ACQUISITIONS
from ray_al.cli import main
from ray_al.core.families.batch import BATCH_RULES
from ray_al.core.families.regions import REGIONS
from ray_al.core.families.start import START_RULES
from ray_al.core.storage import Storage
from ray_al.driver.catalog import count_combinations
from ray_al.driver.lease import Lease
from ray_al.train.loop import CycleTrainer

STRATEGIES = ROOT / "ray_al" / "acquisition" / "README.md"


def commands_of(group, *before):
    """The words of each command below a group of commands."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands_of(command, *before, name)
        else:
            yield " ".join((*before, name))


@pytest.mark.parametrize("command", commands_of(main))
def test_every_command_has_help_with_an_example(command):
    result = invoke(*command.split(), "--help")
    assert result.exit_code == 0
    assert f"Example: ray-al {command}" in result.output


WRONG = {
    "no such file": (["run", "none.yaml"], "none.yaml"),
    "unknown key": (["demo", "--set", "train.stepz=1"], "steps"),
    "bad value": (["demo", "--set", "train.steps=-1"], "train.steps"),
    "bad override": (["demo", "--set", "train.steps"], "KEY=VALUE"),
    "missing root": (["demo", "--set", "data.dataset=camvid"], "data.root"),
    "no such root": (
        ["demo", "--set", "data.dataset=camvid", "--set", "data.root=/nowhere"],
        "/nowhere",
    ),
    "unknown model": (["demo", "--set", "model.name=fcn_resnet5"], "fcn_resnet50"),
    "missing weights": (["demo", "--set", "model.weights=/nowhere.pt"], "/nowhere.pt"),
    "budget beyond the pool": (["demo", "--set", "budget.amount=100000"], "budget.amount"),
    "class weights": (["demo", "--set", "train.class_weights=[1.0]"], "train.class_weights"),
    "not a run": (["resume", "none"], "not a run directory"),
    "two lengths of the final model": (
        ["demo", "--set", "final.steps=3", "--set", "final.epochs=2"],
        "final",
    ),
}


def test_a_run_that_was_ended_while_it_was_made_is_named_as_such(tmp_path):
    (tmp_path / "run" / "journal").mkdir(parents=True)
    for command in ("resume", "status", "verify", "report", "log"):
        result = invoke(command, str(tmp_path / "run"))
        assert (result.exit_code, "not a run directory" in result.output) == (2, True)
    again = invoke("demo", "--out", str(tmp_path / "run"))
    assert again.exit_code == 2
    assert "delete it" in again.output


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_use_is_one_message_and_no_run_directory(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    arguments, word = WRONG[kind]
    out = ["--out", str(tmp_path / "run")] if arguments[0] in ("run", "demo") else []
    result = invoke(*arguments, *out)
    assert result.exit_code == 2
    message = result.output.strip()
    assert message.startswith("error: ")
    assert word in message
    assert "\n" not in message
    assert not (tmp_path / "run").exists()


def test_strategies_speak_json():
    rows = json.loads(invoke("strategies", "--json").output)
    for kind, names in (
        ("acquisition", ACQUISITIONS),
        ("batch", BATCH_RULES.kinds),
        ("start", START_RULES.kinds),
        ("regions", REGIONS.kinds),
    ):
        assert [row["name"] for row in rows if row["kind"] == kind] == list(names)
    assert all(row["paper"] for row in rows)
    assert all(row["needs"] for row in rows if row["kind"] in ("acquisition", "batch"))
    assert f"{count_combinations()} combinations" in invoke("strategies").output


def test_the_readme_counts_the_combinations():
    (claimed,) = re.findall(r"counts\s(\d+) combinations", STRATEGIES.read_text())
    assert int(claimed) == count_combinations()


@pytest.mark.parametrize("found", [True, False])
def test_doctor_speaks_json(tmp_path, monkeypatch, found):
    place = tmp_path / "runs"
    if not found:
        place.write_text("a file where run directories belong")
    monkeypatch.setenv("RAY_AL_RUNS", str(place))
    rows = {row["check"]: row for row in json.loads(invoke("doctor", "--json").output)}
    assert list(rows) == [
        "Python",
        "torch",
        "CUDA",
        "bf16 scoring",
        "Ray",
        "cluster",
        "machine",
        f"storage {place}",
    ]
    for row in rows.values():
        assert set(row) == {"check", "ok", "found", "remedy"}
        assert row["found"] and bool(row["remedy"]) != row["ok"]
    assert rows["Python"]["ok"] and rows["torch"]["ok"] and rows["Ray"]["ok"]
    assert rows[f"storage {place}"]["ok"] == found


def test_datasets_check_finds_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "c.yaml").write_text("name: c\ndata: {dataset: synthetic, num_images: 4}\n")
    result = invoke("datasets", "check", str(tmp_path / "c.yaml"), "--json")
    assert result.exit_code == 0, result.output
    first = tmp_path / "ray_al" / "synthetic-4-0" / "train" / "00000.png"
    first.write_bytes(b"no image")
    result = invoke("datasets", "check", str(tmp_path / "c.yaml"), "--json")
    assert result.exit_code == 1
    assert "00000.png" in result.output


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A configuration that needs no Ray and a few seconds."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "c.yaml").write_text(
        "name: small\n"
        "data: {dataset: synthetic, num_images: 6, image_size: [32, 48]}\n"
        "regions: {rows: 2, columns: 2}\n"
        "train: {steps: 2, batch_size: 2, workers: 0}\n"
        "scoring: {workers: 0, batch_size: 2, precision: fp32}\n"
        "budget: {start: 2, per_cycle: 2, amount: 4}\n"
        "final: {steps: 3, image_size: [48, 64]}\n"
        "cluster: {host: process}\n"
    )
    return tmp_path


def test_a_run_its_final_model_and_its_upper_bound(small):
    run_dir = str(small / "run")
    done = invoke("run", str(small / "c.yaml"), "--out", run_dir, "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert facts["outcome"] == "finished"
    assert facts["budget"] == {"unit": "regions", "amount": 4, "spent": 4, "reserved": 0}
    assert facts.keys() >= {"run", "stage", "cycle", "budget", "miou", "quarantined", "updated_at"}
    again = invoke("run", str(small / "c.yaml"), "--out", run_dir)
    assert again.exit_code == 2
    assert "exists already" in again.output
    assert json.loads(invoke("status", run_dir, "--json").output)["stage"] == "finished"
    assert invoke("final", run_dir).exit_code == 0
    assert invoke("upper-bound", run_dir).exit_code == 0
    final = json.loads((small / "run" / "final" / "metrics.json").read_text())
    upper = json.loads((small / "run" / "upper_bound" / "metrics.json").read_text())
    assert (final["num_steps"], upper["num_images"]) == (3, 6)
    assert final["share_of_full_score"] == pytest.approx(
        final["metrics"]["val"]["miou"] / upper["metrics"]["val"]["miou"]
    )
    assert invoke("report", run_dir).exit_code == 0
    page = (small / "run" / "report.html").read_text()
    assert "all labels, same recipe" in page
    assert "http://" not in page.replace("http://www.w3.org", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "")
    assert "ok: " in invoke("verify", run_dir).output
    assert (
        len(invoke("log", run_dir, "--json").output.splitlines())
        == json.loads(invoke("verify", run_dir, "--json").output)["events"]
    )


def test_a_run_that_waits_for_people_ends_with_exit_code_4(small):
    run_dir = str(small / "run")
    done = invoke("run", str(small / "c.yaml"), "--out", run_dir, "--set", "label.annotator=files")
    assert done.exit_code == 4
    assert f"put the answers into {run_dir}/cycles/0000/tasks" in done.output
    status = json.loads(invoke("status", run_dir, "--json").output)
    assert (status["stage"], status["budget"]["reserved"]) == ("waiting", 2)
    assert not (small / "run" / "lease.json").exists()
    assert invoke("resume", run_dir).exit_code == 4


def test_a_killed_run_is_no_longer_said_to_be_at_work(small, monkeypatch):
    run_dir = str(small / "run")

    def dies(*_):
        raise SystemExit

    with monkeypatch.context() as patch:  # a kill: neither the status nor the lease is put right
        patch.setattr(Lease, "release", dies)
        patch.setattr(CycleTrainer, "run", dies)
        patch.setattr("ray_al.driver.loop._Loop.end", lambda self, stage: None)
        invoke("run", str(small / "c.yaml"), "--out", run_dir, "--set", "train.workers=0")
    place = Storage(run_dir)
    stage = json.loads(place.read("status.json"))["stage"]
    assert stage in ("label", "train")
    at_work = json.loads(invoke("status", run_dir, "--json").output)
    assert at_work["stage"] == stage  # this process, which holds the lease, lives
    lease = {**json.loads(place.read("lease.json")), "pid": 4999999}
    place.replace("lease.json", json.dumps(lease).encode())
    facts = json.loads(invoke("status", run_dir, "--json").output)
    assert (facts["stage"], facts["done"], facts["seconds_left"]) == ("killed", 0, None)
    assert f"its process has ended; nothing recorded is lost: ray-al resume {run_dir}" in (
        invoke("status", run_dir).output
    )
    refused = invoke("compare", run_dir, "--out", run_dir)
    assert refused.exit_code == 2 and "is a run directory, whose files are" in refused.output


def test_verify_ends_with_1_where_a_file_changed(small):
    run_dir = str(small / "run")
    assert invoke("run", str(small / "c.yaml"), "--out", run_dir).exit_code == 0
    (small / "run" / "manifest.parquet").write_bytes(b"x")
    result = invoke("verify", run_dir)
    assert result.exit_code == 1
    assert "manifest.parquet" in result.output


def test_a_pool_without_masks_and_nobody_to_label_is_refused(small):
    assert invoke("run", str(small / "c.yaml"), "--out", str(small / "first")).exit_code == 0
    for path in (small / "cache" / "ray_al" / "synthetic-6-0" / "trainannot").iterdir():
        path.unlink()
    result = invoke("run", str(small / "c.yaml"), "--out", str(small / "run"))
    assert result.exit_code == 2
    assert "label.annotator=files" in result.output
    assert not (small / "run").exists()
