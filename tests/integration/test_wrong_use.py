"""Odd places and files on the command line: one line, exit code 2, and nothing is written."""

import os
import sys

import pytest
from helpers.commands import invoke

from ray_al.core.config import RunConfig, parse_config
from ray_al.core.errors import ConfigError, StorageError
from ray_al.core.imports import import_function
from ray_al.core.storage import check_writable
from ray_al.core.validation import check_key
from ray_al.driver.checks import JOB_VARIABLE, check_places
from ray_al.driver.create import default_run_uri
from ray_al.sweep.config import load_sweep
from ray_al.sweep.settings import make_config
from ray_al.sweep.trials import Trial

SMALL = (
    "name: small\ndata: {dataset: synthetic, num_images: 4, image_size: [32, 48]}\n"
    "budget: {start: 2, per_cycle: 2, amount: 4}\n"
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "c.yaml").write_text(SMALL)
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "empty").mkdir()
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "sweep.yaml").write_text("name: [")
    return tmp_path


def refused(result, *words):
    message = result.output.strip()
    assert result.exit_code == 2, message
    assert message.startswith("error: ")
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    "command", ["resume", "status", "log", "verify", "final", "upper-bound", "report", "replay"]
)
@pytest.mark.parametrize(
    "place", ["", " ", "file", "file/x", "empty", "link", "nowhere", "x" * 300, "sweep"]
)
def test_a_place_that_is_no_run(here, command, place):
    if (command, place) == ("status", "sweep"):
        return refused(invoke(command, place), "sweep.yaml", "not valid YAML")
    return refused(invoke(command, place), "empty" if not place.strip() else place)


@pytest.mark.parametrize("place", ["", "file", "file/run", "link", "x" * 300, f"{'x/' * 2500}run"])
def test_a_place_where_no_run_can_be(here, place):
    before = sorted(path.name for path in here.iterdir())
    refused(invoke("run", "c.yaml", "--out", place), "--out", "give a")
    refused(invoke("sweep", "c.yaml", "--out", place))
    refused(invoke("compare", "empty", "--out", place), "--out", "give a")
    assert sorted(path.name for path in here.iterdir()) == before


def test_a_folder_that_may_not_be_written(here, monkeypatch):
    refused(invoke("run", "c.yaml", "--out", "/proc/none/run"), "--out", "/proc cannot be written")
    check_writable(str(here / "other" / "run"), key="--out")
    check_writable("s3://bucket/run", key="--out")
    assert not (here / "other").exists()

    def forbid(prefix, dir):
        raise PermissionError(13, "Permission denied", dir)

    monkeypatch.setattr("tempfile.mkdtemp", forbid)
    refused(invoke("run", "c.yaml", "--out", "empty/run"), "--out", "empty", "permissions")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("memory://run", "lost when this process ends"),
        ("s3:/bucket/run", "write s3://bucket/run"),
        ("blob://b/run", "unknown protocol 'blob'"),
        ("zip://::x.zip", "'zip' storage cannot refuse to overwrite a file"),
    ],
)
def test_a_place_that_cannot_keep_a_run(here, place, words):
    before = sorted(path.name for path in here.iterdir())
    refused(invoke("run", "c.yaml", "--out", place), words)
    refused(invoke("sweep", "c.yaml", "--out", place))
    found = invoke("doctor", "--storage", place)
    assert found.exit_code == 1
    assert words.partition(";")[0] in found.output
    assert sorted(path.name for path in here.iterdir()) == before


def test_home_and_the_variable(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here / "home"))
    monkeypatch.setenv("RAY_AL_RUNS", "~/runs")
    assert default_run_uri("r").startswith(f"{here}/home/runs/r-")
    refused(invoke("verify", "~/none"), f"{here}/home/none")


def test_a_job_may_write_beside_its_directory(here, monkeypatch):
    (here / "job").mkdir()
    monkeypatch.chdir(here / "job")
    monkeypatch.setenv(JOB_VARIABLE, "{}")
    check_places(parse_config({}, source="c"), str(here / "job2" / "run"))
    with pytest.raises(ConfigError, match="thrown away"):
        check_places(parse_config({}, source="c"), str(here / "job" / "run"))


@pytest.mark.parametrize("command", [("run",), ("sweep",), ("datasets", "check")])
@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"- a",
        b"\x89PNG\r\n\x1a\n\0",
        b"a: 1\na: 2",
        b"train:\n\tsteps: 1",
        b"name: c\nname: d",
        b"trian: {}",
    ],
)
def test_a_file_that_is_no_configuration(here, command, data):
    (here / "bad.yaml").mkdir() if data is None else (here / "bad.yaml").write_bytes(data)
    refused(invoke(*command, "bad.yaml"), "bad.yaml")


@pytest.mark.parametrize(
    "text", ["regions={kind:", "train.learning_rate=.inf", "seed={a: 1, a: 2}", "a..b=1", "x"]
)
def test_settings_of_every_command(here, text):
    for command in (
        ("run", "c.yaml"),
        ("demo",),
        ("sweep", "s.yaml"),
        ("datasets", "check", "c.yaml"),
    ):
        (here / "s.yaml").write_text("base: c.yaml\nspace: {strategy.acquisition: [entropy]}\n")
        refused(invoke(*command, "--set", text), text.split("=")[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--allow", "trian.policy"], ["--allow 'trian.policy'", "did you mean 'train'"]),
        (["--allow", "train.polici"], ["did you mean 'train.policy'"]),
        (["--allow", "train.steps.x"], ["train.steps.x"]),
        (["--allow", ""], ["--allow ''", "known keys"]),
        (["--at", "nan"], ["--at"]),
        (["--at", "150%"], ["--at"]),
    ],
)
def test_options_of_compare(here, options, words):
    refused(invoke("compare", "empty", "--out", "compared", *options), *words)
    assert not (here / "compared").exists()


def test_keys_that_are_there():
    for key in (
        "train",
        "train.augment.scale",
        "strategy.lazy.share",
        "tracking.mlflow.experiment",
        "seed",
    ):
        check_key(RunConfig, key, name="--allow")


def test_a_sweep_shares_nothing_between_its_trials(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        "run: {train: &recipe {steps: 30, batch_size: 8}, final: *recipe}\n"
        "space: {train.steps: [5, 6], train.momentum: [0.5]}\n"
        "reference: {train.steps: 7}\n"
    )
    sweep = load_sweep(str(path), ["train.batch_size=4"])
    for setting in ({"train.steps": 5, "train.momentum": 0.5}, dict(sweep.reference)):
        config = make_config(sweep, setting, 0, "t")
        assert (config.train.steps, config.train.batch_size) == (setting["train.steps"], 4)
        assert (config.final.steps, config.final.batch_size) == (30, 8)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("space: {train.steps: {gridd: [1]}}", ["gridd", "grid"]),
        ("space: {train.steps: [1, .inf]}", ["space.train.steps.1", "finite"]),
        ("space: {train.steps: 5}", ["space.train.steps", "list"]),
        ("limits: {hours: true}", ["limits.hours", "not numbers"]),
        ("limits: {labls: 3}", ["limits.labls", "labels"]),
        ("seeds: [0, 0]", ["seeds"]),
        ("base: ''", ["base"]),
        ("base: none.yaml", ["none.yaml"]),
        ("run: {'': 1}", ["empty"]),
    ],
)
def test_a_sweep_file_that_cannot_be_meant(tmp_path, text, words):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        load_sweep(str(tmp_path / "s.yaml"))
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    "data", [b"", b"[", b"- a", b"name: x", b"name: x\nconfig: 3", b"config: {}\nother: 1"]
)
def test_a_damaged_trial_is_named(data):
    with pytest.raises((ConfigError, StorageError), match=r"trials/t\.yaml"):
        Trial.from_bytes(data, source="trials/t.yaml")


def test_modules_of_the_working_directory_are_found(here, monkeypatch):
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", os.getcwd())])
    with pytest.raises(ConfigError, match="PYTHONPATH"):
        import_function("strategy.acquisition", "mine_here:evenness", wanted="a function")
    (here / "mine_here.py").write_text("def evenness(logits):\n    return logits.std(1)\n")
    (here / "broken_here.py").write_text("1 / 0\n")
    (here / "wrong_here.py").write_text("def f(:\n")
    assert invoke("strategies").exit_code == 0
    assert (
        import_function("strategy.acquisition", "mine_here:evenness", wanted="a function").__name__
        == "evenness"
    )
    for name, word in (
        ("broken_here:f", "ZeroDivisionError"),
        ("wrong_here:f", "SyntaxError"),
        ("mine_here:f", "has no 'f'"),
    ):
        with pytest.raises(ConfigError, match=word):
            import_function("strategy.acquisition", name, wanted="a function")
    sys.modules.pop("mine_here")


def test_a_grid_finer_than_the_images_is_a_wrong_setting(here):
    refused(
        invoke("run", "c.yaml", "--set", "regions.rows=97", "--out", "run"),
        "regions.rows=97",
        "4 of 4 pool images",
        "lower",
    )
    assert not (here / "run").exists()


def test_a_cache_that_cannot_be_written(here, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "file"))
    refused(invoke("run", "c.yaml", "--out", "run"), "data.root", "synthetic", "another place")


def test_keys_of_all_built_in_variants_are_there():
    for key in (
        "model.name",
        "model.backbone.name",
        "model.head.width",
        "model.head.kind",
        "features.store.limit_gb",
        "features.views",
    ):
        check_key(RunConfig, key, name="--allow")
    for key, near in (
        ("model.head.wdth", "model.head.width"),
        ("model.backbone.layrs", "model.backbone.layers"),
        ("model.hed", "model.head"),
    ):
        with pytest.raises(ConfigError, match=f"did you mean '{near}'"):
            check_key(RunConfig, key, name="--allow")
