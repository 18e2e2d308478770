"""Changed configurations, moved runs and moved data, through the command line and without Ray."""

import json
import shutil

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from helpers import small_runs
from helpers.commands import invoke
from helpers.networks import linear
from PIL import Image
from torch import nn

from ray_al.core.config import load_config
from ray_al.core.errors import RunHeldError
from ray_al.core.model import ModelConfig
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.core.variants import Backbone
from ray_al.datasets.synthetic import write_synthetic
from ray_al.driver import settings
from ray_al.driver.create import create_run
from ray_al.ledger import Journal
from ray_al.models import build_model
from ray_al.models.weights import load_backbone_state

CONFIG = f"{small_runs.FILE}label: {{annotator: files}}\nreport: {{num_images: 0}}\n"


@pytest.fixture
def waiting(tmp_path):
    """Make a run that waits for labels, with its data next to its configuration."""
    write_synthetic(str(tmp_path / "data"), num_images=6, seed=0)
    (tmp_path / "c.yaml").write_text(CONFIG)
    result = invoke("run", str(tmp_path / "c.yaml"), "--out", str(tmp_path / "run"))
    assert result.exit_code == 4, result.output
    return tmp_path


def refused(result, *words, code=2):
    assert result.exit_code == code, result.output
    message = result.output.strip().splitlines()[-1]
    assert message.startswith("error: ")
    for word in words:
        assert word in message


def content(folder):
    """Return the bytes of every file below a folder, by its path."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_class_added_by_hand_is_refused_by_every_command(waiting):
    run, file = str(waiting / "run"), waiting / "run" / "config.yaml"
    text = file.read_text()
    file.write_text(text.replace("  - sign\n", "  - sign\n  - bar\n"))
    before = content(waiting / "run")
    for command in ("resume", "report", "final", "upper-bound", "replay"):
        refused(
            invoke(command, run), "config.yaml", "data.class_names", "'bar'", "the ledger recorded"
        )
    refused(invoke("verify", run), "config.yaml", "'bar'", code=1)
    refused(invoke("compare", run, "--out", str(waiting / "compared")), "'bar'")
    assert content(waiting / "run") == before
    num_events = len(Journal(Storage(run)).events)
    file.write_text(text)
    assert invoke("verify", run).exit_code == 0
    assert invoke("resume", run).exit_code == 4
    added = Journal(Storage(run)).events[num_events:]
    assert [event.kind for event in added] == ["driver_started", "labels_received"]


def test_data_that_moved_are_named(waiting):
    run, moved = str(waiting / "run"), waiting / "elsewhere" / "images"
    moved.parent.mkdir()
    (waiting / "data").rename(moved)
    refused(invoke("resume", run), "data.root", "--set data.root=")
    result = invoke(
        "resume",
        run,
        "--set",
        f"data.root={moved}",
        "--set",
        "scoring.workers=0",
        "--set",
        "label.annotator.share=0.5",
    )
    assert result.exit_code == 4, result.output
    assert yaml.safe_load((waiting / "run" / "config.yaml").read_text())["data"]["root"] == str(
        moved
    )
    events = Journal(Storage(run)).events
    change = next(event for event in events if event.kind == "config_changed")
    assert change.data["changes"] == {
        "data.root": [str(waiting / "data"), str(moved)],
        "label.annotator.share": [1.0, 0.5],
    }
    assert invoke("verify", run).exit_code == 0
    assert "config_changed" in invoke("log", run).output
    assert "train:" not in invoke("log", run).output
    assert invoke("resume", run, "--set", f"data.root={moved}").exit_code == 4
    assert (
        sum(event.kind == "config_changed" for event in Journal(Storage(run)).events) == 1
    )  # nothing changed


def test_the_run_moves_with_or_without_its_data(waiting):
    (waiting / "disk").mkdir()
    shutil.move(waiting / "run", waiting / "disk" / "run")
    run = str(waiting / "disk" / "run")
    for command in ("verify", "report"):
        assert invoke(command, run).exit_code == 0
    assert invoke("resume", run).exit_code == 4
    shutil.move(waiting / "data", waiting / "disk" / "data")
    assert invoke("resume", run, "--set", f"data.root={waiting / 'disk' / 'data'}").exit_code == 4


def test_other_data_are_refused(waiting):
    run, data = str(waiting / "run"), waiting / "data"
    before = (waiting / "run" / "config.yaml").read_bytes()
    cases = {
        "few": "pool images are not there",
        "other_val": "validation split",
        "other_sizes": "pixels, in the run",
        "no": "no such folder",
    }
    for name in list(cases)[:3]:
        shutil.copytree(data, waiting / name)
    (waiting / "few" / "train" / "00002.png").unlink()
    shutil.copy(data / "val" / "00000.png", waiting / "other_val" / "val" / "00009.png")
    shutil.copy(data / "valannot" / "00000.png", waiting / "other_val" / "valannot" / "00009.png")
    Image.new("RGB", (64, 48)).save(waiting / "other_sizes" / "train" / "00003.png")
    for name, word in cases.items():
        refused(invoke("resume", run, "--set", f"data.root={waiting / name}"), "data.root", word)
    assert (waiting / "run" / "config.yaml").read_bytes() == before
    assert not any(event.kind == "config_changed" for event in Journal(Storage(run)).events)
    assert not (waiting / "run" / "lease.json").exists()


def test_validation_images_that_came_or_went_are_refused(waiting):
    run, val, annot = str(waiting / "run"), waiting / "data" / "val", waiting / "data" / "valannot"
    for path in (val / "00000.png", annot / "00000.png"):
        path.rename(waiting / "kept.png")
        refused(invoke("resume", run), "validation", "put them back")
        (waiting / "kept.png").rename(path)
    (waiting / "run" / "cycles" / "0000" / "tasks" / "task-00000.mask.png").write_bytes(b"")
    for folder in (val, annot):
        shutil.copy(folder / "00000.png", folder / "00009.png")
    refused(invoke("resume", run), "validation")
    refused(invoke("upper-bound", run), "validation")


FIXED = {
    "data.class_names=[a, b]": ["data.class_names", "new run", "data.root"],
    "budget.amount=8": ["budget.amount", "new run"],
    "seed=1": ["seed", "new run"],
    "model.weights=backbone": ["model.weights", "'none'"],
    "train={steps: 9}": ["train.steps", "new run"],
    "trian.workers=1": ["trian", "train"],
    "train.workers=3": ["train.batch_size", "3"],
    "scoring.workers=.inf": ["scoring.workers"],
    "cluster={keep:": ["cluster", "not valid YAML"],
    "nothing": ["KEY=VALUE"],
}


def test_what_may_not_change_is_refused_with_the_reason(waiting):
    def files():
        return {path: path.read_bytes() for path in (waiting / "run").rglob("*") if path.is_file()}

    before = files()
    for override, words in FIXED.items():
        refused(invoke("resume", str(waiting / "run"), "--set", override), *words)
        assert files() == before


def test_a_session_that_ends_before_the_file_is_replaced_has_changed_the_settings(
    waiting, monkeypatch
):
    run = str(waiting / "run")
    monkeypatch.setattr(settings, "settle_config", lambda storage, events: None)
    settings.change_settings(run, ["label.annotator.share=0.5"])
    monkeypatch.undo()
    assert "share: 1.0" in (waiting / "run" / "config.yaml").read_text()
    assert invoke("verify", run).exit_code == 0
    assert invoke("resume", run).exit_code == 4
    assert "share: 0.5" in (waiting / "run" / "config.yaml").read_text()


def test_a_run_that_a_living_driver_holds_keeps_its_settings(waiting, monkeypatch):
    def held(lease):
        raise RunHeldError("held")

    monkeypatch.setattr("ray_al.driver.settings.Lease.acquire", held)
    refused(
        invoke("resume", str(waiting / "run"), "--set", "label.annotator.share=0.5"), "held", code=3
    )


@pytest.mark.parametrize(("earlier", "there"), [(False, "bucket"), (True, "file")])
def test_a_whole_run_reads_its_data_where_they_are_now(tmp_path, earlier, there):
    write_synthetic(str(tmp_path / "data"), num_images=6, seed=0)
    (tmp_path / "c.yaml").write_text(CONFIG.replace("annotator: files", "annotator: simulated"))
    run = tmp_path / "run"
    create_run(load_config(str(tmp_path / "c.yaml")), str(run))
    table = pq.read_table(run / "manifest.parquet")
    assert (table["uri"][0].as_py(), table["mask_uri"][0].as_py()) == (
        "train/00000.png",
        "trainannot/00000.png",
    )
    if earlier:
        make_earlier(run, table, f"{tmp_path}/data/")
    assert invoke("verify", str(run)).exit_code == 0
    moved = "memory://moved" if there == "bucket" else str(tmp_path / "moved")
    fsspec.filesystem("memory" if there == "bucket" else "file").put(
        str(tmp_path / "data"), moved, recursive=True
    )
    shutil.rmtree(tmp_path / "data")
    try:
        done = invoke("resume", str(run), "--set", f"data.root={moved}")
        assert done.exit_code == 0, done.output
        assert "with 4 regions labelled" in done.output
        for command in ("verify", "report") if earlier else ("verify", "final"):
            assert invoke(command, str(run)).exit_code == 0
    finally:
        if there == "bucket":
            fsspec.filesystem("memory").rm("/moved", recursive=True)


def make_earlier(run, table, prefix):
    """Rewrite the run as earlier versions wrote it.

    Its first event holds no text of the configuration, and its manifest absolute places.
    """
    for name in ("uri", "mask_uri"):
        whole = pa.array([prefix + place for place in table[name].to_pylist()])
        table = table.set_column(table.schema.get_field_index(name), name, whole)
    pq.write_table(table, run / "manifest.parquet")
    first = run / "journal" / "00000000.json"
    event = json.loads(first.read_text())
    for key in ("config_yaml", "val_digest"):
        del event["data"][key]
    event["data"]["manifest"] = FileRef.of(
        "manifest.parquet", (run / "manifest.parquet").read_bytes()
    ).as_dict()
    first.write_text(json.dumps(event))


class Linear(Backbone):
    """Its one map is a convolution's."""

    def build(self, weights: str) -> nn.Module:
        network = OneMap()
        if weights != "none":
            load_backbone_state(network, weights)
        return network


class OneMap(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = linear(6)

    def forward(self, images):
        return (self.layer(images),)


MODELS = {
    "network": '{name: "helpers.networks:linear", weights: w.pt}',
    "composed": f'{{kind: composed, backbone: {{kind: "{__name__}:Linear"}}, weights: w.pt}}',
}


@pytest.mark.parametrize("kind", MODELS)
def test_weights_that_moved_are_named(tmp_path, kind):
    write_synthetic(str(tmp_path / "data"), num_images=6, seed=0)
    torch.save(
        build_model(ModelConfig(name="helpers.networks:linear"), 6).state_dict(), tmp_path / "w.pt"
    )
    (tmp_path / "c.yaml").write_text(
        CONFIG.replace('{name: "helpers.networks:linear", weights: none}', MODELS[kind])
    )
    create_run(load_config(str(tmp_path / "c.yaml")), str(tmp_path / "run"))
    (tmp_path / "w.pt").rename(tmp_path / "moved.pt")
    (tmp_path / "other.pt").write_bytes(b"x")
    run = str(tmp_path / "run")
    refused(
        invoke("resume", run, "--set", f"model.weights={tmp_path / 'other.pt'}"),
        "model.weights",
        "not what is in the file",
    )
    refused(
        invoke("resume", run, "--set", f"model.weights={tmp_path / 'nothing.pt'}"),
        "model.weights",
        "no such file",
    )
    assert invoke("resume", run, "--set", f"model.weights={tmp_path / 'moved.pt'}").exit_code == 4
