import json

import pytest
from click.testing import CliRunner

from ray_al.cli import main


def invoke(*arguments):
    return CliRunner().invoke(main, list(arguments))


@pytest.mark.parametrize(
    "command",
    ["demo", "run", "resume", "status", "log", "verify", "final", "upper-bound", "report", "datasets check", "strategies", "doctor"],
)
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
    "no such root": (["demo", "--set", "data.dataset=camvid", "--set", "data.root=/nowhere"], "/nowhere"),
    "unknown model": (["demo", "--set", "model.name=fcn_resnet5"], "fcn_resnet50"),
    "missing weights": (["demo", "--set", "model.weights=/nowhere.pt"], "/nowhere.pt"),
    "budget beyond the pool": (["demo", "--set", "budget.amount=100000"], "budget.amount"),
    "class weights": (["demo", "--set", "train.class_weights=[1.0]"], "train.class_weights"),
    "not a run": (["resume", "none"], "not a run directory"),
}


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


def test_strategies_and_doctor_speak_json():
    names = [row["name"] for row in json.loads(invoke("strategies", "--json").output)]
    assert names == ["random", "least_confidence", "margin", "entropy", "equal", "topk", "power"]
    assert all(row["ok"] for row in json.loads(invoke("doctor", "--json").output))


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
