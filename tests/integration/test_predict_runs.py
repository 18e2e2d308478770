"""Whole runs whose models predict images and are exported."""

import io
import json
import shutil
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from helpers.commands import invoke
from PIL import Image
from torch import nn

from ray_al import api
from ray_al.core.errors import ConfigError, DataError, Interrupted, RayALError
from ray_al.datasets import open_dataset
from ray_al.datasets.masks import read_mask
from ray_al.directories import Run
from ray_al.driver.final import train_final
from ray_al.predict import export as export_module
from ray_al.predict.formats import base
from ray_al.train.metrics import confusion_matrix, metrics_from_confusion

SETTINGS = {
    "data": {"dataset": "synthetic", "num_images": 6, "image_size": [48, 64]},
    "regions": {"rows": 2, "columns": 2},
    "train": {"steps": 6, "batch_size": 2, "workers": 0, "learning_rate": 0.02, "threads": 1},
    "strategy": {"acquisition": "entropy"},
    "scoring": {"workers": 0, "batch_size": 2, "precision": "fp32"},
    "budget": {"start": 8, "per_cycle": 4, "amount": 16},
    "final": {"train": {"steps": 4}, "image_size": [32, 48]},
    "cluster": {"host": "process"},
    "report": {"num_images": 0},
}
FROZEN = {
    "model": {"kind": "composed", "backbone": {"kind": "helpers.tiny_backbones:TinyBackbone"}},
    "train.precision": "bf16",
    "train.mirror_test": True,
}


class Tiny(nn.Module):
    """Gives logits at half the size of its images."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, num_classes, 3, padding=1),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(images)
        return logits


class Branching(Tiny):
    """Cannot be exported: what it computes depends on a value."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images if images.mean() > 0.1 else -images)


def make_run(folder: Path, name: str, **changes: object) -> Run:
    model = {"name": f"test_predict_runs:{changes.pop('network', 'Tiny')}"}
    values = {**SETTINGS, "model": model, "data.root": str(folder / "data"), **changes}
    return api.run(api.load_config(values), str(folder / name))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("predict")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    """A run of three cycles, of which the first one's weights are not kept."""
    return make_run(folder, "run")


@pytest.fixture(scope="module")
def frozen(folder: Path) -> Run:
    """A run with a frozen backbone, bf16 and mirrored evaluation."""
    return make_run(folder, "frozen", **FROZEN)


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def miou_of(run: Run, out: Path) -> float:
    """Return the mIoU of the masks below `out/ids`, measured on the validation images."""
    dataset = open_dataset(run.config.data)
    matrix = np.zeros((dataset.num_classes, dataset.num_classes + 1), dtype=np.int64)
    for file in dataset.splits["val"]:
        truth = read_mask(str(file.mask_uri), dataset.decoder)
        ids = np.array(Image.open(out / "ids" / f"{Path(file.uri).stem}.png"))
        matrix += confusion_matrix(ids, truth, dataset.num_classes)
    return metrics_from_confusion(matrix, len(dataset.splits["val"])).miou


@pytest.mark.parametrize("which", ["run", "frozen"])
def test_predicted_masks_have_the_miou_that_the_run_recorded(
    which: str, folder: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    made: Run = request.getfixturevalue(which)
    last = made.state.cycles[-1]
    before = files_below(Path(made.uri))
    done = invoke(
        "predict", made.uri, folder / "data" / "val", "--out", tmp_path, "--cycle", last.cycle
    )
    assert done.exit_code == 0, done.output
    assert miou_of(made, tmp_path) == last.val.miou
    assert files_below(Path(made.uri)) == before


def test_the_final_model_predicts_by_its_own_recipe(run: Run, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run.uri, copy)
    result = train_final(
        str(copy), "final", progress=lambda done, total: None, should_stop=lambda: False
    )
    facts = api.predict_images(str(copy), [str(folder / "data" / "val")], str(tmp_path / "out"))
    assert facts["model"] == "final"
    assert miou_of(run, tmp_path / "out") == result.metrics["val"].miou
    described = json.loads((tmp_path / "out" / "model.json").read_text())
    assert described["image_size"] == [32, 48]
    assert [one["name"] for one in described["classes"]] == list(run.state.created.class_names)


def test_of_an_ensemble_the_measured_member_predicts(folder: Path, tmp_path: Path) -> None:
    strategy = {"acquisition": "bald", "passes": {"kind": "ensemble", "count": 2}}
    made = make_run(folder, "ensemble", strategy=strategy)
    assert made.state.members
    api.predict_images(made.uri, [str(folder / "data" / "val")], str(tmp_path))
    assert miou_of(made, tmp_path) == made.state.cycles[-1].val.miou


def test_what_is_written_is_not_made_again(run: Run, folder: Path, tmp_path: Path) -> None:
    images, out = [str(folder / "data" / "train")], tmp_path / "out"
    calls = iter([False, False, True])
    with pytest.raises(Interrupted, match="same command"):
        api.predict_images(
            run.uri, images, str(out), forms=["ids", "overlay"], should_stop=lambda: next(calls)
        )
    times = {file: file.stat().st_mtime_ns for file in (out / "ids").iterdir()}
    assert 0 < len(times) < 6
    facts = api.predict_images(run.uri, images, str(out), forms=["ids", "overlay"])
    assert (facts["skipped"], facts["predicted"]) == (len(times), 6 - len(times))
    assert {file: file.stat().st_mtime_ns for file in times} == times
    whole = tmp_path / "whole"
    api.predict_images(run.uri, images, str(whole), forms=["ids", "overlay"], threads=1)
    assert files_below(whole) == files_below(out)
    more = api.predict_images(run.uri, images, str(out), forms=["colors"])
    assert more["predicted"] == 6


def test_broken_images_are_named_and_the_others_predicted(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(folder / "data" / "val", photos)
    (photos / "bad.png").write_bytes((photos / "00000.png").read_bytes()[:200])
    (photos / "zero.jpg").write_bytes(b"")
    command = ("predict", run.uri, photos, "--out", tmp_path / "out", "--as", "ids")
    done = invoke(*command, "--json")
    assert done.exit_code == 1
    facts = json.loads(done.stdout)
    assert facts["predicted"] == 4
    assert [Path(one["image"]).name for one in facts["refused"]] == ["bad.png", "zero.jpg"]
    assert "bad.png" in (tmp_path / "out" / "refused.csv").read_text()
    for name in ("bad.png", "zero.jpg"):
        (photos / name).unlink()
    assert invoke(*command).exit_code == 0
    shutil.copy(photos / "00000.png", photos / "bad.png")
    mended = invoke(*command)
    assert mended.exit_code == 0
    assert "predicted 1 of 5" in mended.stdout
    assert not (tmp_path / "out" / "refused.csv").exists()


def test_images_of_any_size_and_equal_names_have_masks_of_their_own(
    run: Run, tmp_path: Path
) -> None:
    for number, size in enumerate([(33, 90), (120, 50)]):
        (tmp_path / str(number)).mkdir()
        pixels = np.random.default_rng(number).integers(0, 255, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / str(number) / "x.png")
    places = [str(tmp_path / "0" / "x.png"), str(tmp_path / "1" / "x.png")]
    api.predict_images(run.uri, places, str(tmp_path / "out"), forms=["ids", "probabilities"])
    found = sorted((tmp_path / "out" / "ids").iterdir())
    assert {Image.open(file).size[::-1] for file in found} == {(33, 90), (120, 50)}
    probabilities = np.load(tmp_path / "out" / "probabilities" / "x.npz")["probabilities"]
    assert probabilities.shape == (6, 33, 90)
    assert np.allclose(probabilities.astype(np.float32).sum(0), 1, atol=5e-3)
    assert [ids.shape for ids in run.predict(places)] == [(33, 90), (120, 50)]
    written = np.array(Image.open(tmp_path / "out" / "ids" / "x.png"))
    assert np.array_equal(next(run.predict(places)), written)


def test_images_may_lie_in_a_bucket_and_places_be_uris(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    memory = fsspec.filesystem("memory")
    for file in (folder / "data" / "val").iterdir():
        memory.pipe(f"/predict-in/val/{file.name}", file.read_bytes())
    try:
        places = ["memory://predict-in/val/0000[0-2].png"]
        out = (tmp_path / "first").as_uri()
        facts = api.predict_images(run.uri, places, out)
        again = api.predict_images(run.uri, ["memory://predict-in"], out)
        assert (facts["predicted"], again["predicted"], again["skipped"]) == (3, 1, 3)
        names = sorted(path.name for path in (tmp_path / "first" / "ids").rglob("*.png"))
        api.predict_images(run.uri, [str(folder / "data" / "val")], str(tmp_path / "out"))
        assert names == ["00000.png", "00001.png", "00002.png", "00003.png"]
        written = (tmp_path / "out" / "ids" / "00000.png").read_bytes()
        assert (tmp_path / "first" / "ids" / "00000.png").read_bytes() == written
    finally:
        memory.rm("/predict-in", recursive=True)


@pytest.mark.slow
def test_workers_of_a_cluster_write_the_same_bytes(
    cluster: object, run: Run, frozen: Run, folder: Path, tmp_path: Path
) -> None:
    images = [str(folder / "data" / "train")]
    for made in (run, frozen):
        outs = [tmp_path / f"{Path(made.uri).name}-{workers}" for workers in (0, 2)]
        for workers, out in zip((0, 2), outs, strict=True):
            facts = api.predict_images(
                made.uri, images, str(out), forms=["ids", "probabilities"], workers=workers
            )
            assert facts["predicted"] == 6
        assert files_below(outs[0]) == files_below(outs[1])


WRONG = {
    "no image": (["{empty}", "--out", "{out}"], "no image is in this folder"),
    "no such image": (["{empty}/x.png", "--out", "{out}"], "no such file"),
    "unknown cycle": (["{val}", "--out", "{out}", "--cycle", "9"], "trained cycles are 0, 1, 2"),
    "weights not kept": (["{val}", "--out", "{out}", "--cycle", "0"], "give --cycle 1 or 2"),
    "output in the input": (["{val}", "--out", "{val}/out"], "take predictions for images"),
    "output in the run": (["{val}", "--out", "{run}/out"], "run directory"),
    "output of others": (["{val}", "--out", "{train}"], "has not made"),
    "half a GPU too many": (["{val}", "--out", "{out}", "--gpus", "1.5"], "--gpus 1.5"),
    "unknown form": (["{val}", "--out", "{out}", "--as", "pdf"], "pdf"),
}


def test_weights_that_are_gone_are_not_said_to_be_let_go(run: Run, tmp_path: Path) -> None:
    copy = shutil.copytree(run.uri, tmp_path / "copy")
    shutil.rmtree(copy / "cycles" / "0002" / "checkpoint")
    done = invoke("predict", str(copy), "x", "--out", str(tmp_path / "out"))
    assert done.exit_code == 2
    assert "the file is missing; restore it from a copy, or give --cycle 1" in done.output


def test_an_image_of_other_values_is_to_be_converted(run: Run, tmp_path: Path) -> None:
    """The settings that messages name elsewhere cannot change in a run that has begun."""
    np.save(tmp_path / "floats.npy", np.zeros((32, 48, 3), np.float32))
    done = invoke("predict", run.uri, str(tmp_path / "floats.npy"), "--out", str(tmp_path / "out"))
    assert done.exit_code == 1 and "data.value_range" not in done.output
    words = "no usual range; convert it to an image of the kind that the run was trained on"
    assert words in done.output
    with pytest.raises(DataError, match=words):
        list(run.predict([str(tmp_path / "floats.npy")]))


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_refused_and_nothing_is_written(
    case: str, run: Run, folder: Path, tmp_path: Path
) -> None:
    arguments, words = WRONG[case]
    (tmp_path / "empty").mkdir()
    places = {
        "empty": tmp_path / "empty",
        "out": tmp_path / "out",
        "run": run.uri,
        "val": folder / "data" / "val",
        "train": folder / "data" / "train",
    }
    before = files_below(folder)
    done = invoke("predict", run.uri, *(one.format(**places) for one in arguments))
    assert done.exit_code == 2
    assert words in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()
    assert files_below(folder) == before


def test_a_run_without_a_model_predicts_nothing(folder: Path, tmp_path: Path) -> None:
    values = {**SETTINGS, "data.root": str(folder / "data")}
    with api.new_run(api.load_config(values), str(tmp_path / "new")) as run_dir:
        done = invoke("predict", run_dir, folder / "data" / "val", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "no model is trained yet" in done.output
    assert "not a run directory" in invoke("predict", folder, folder, "--out", tmp_path).output


def test_weights_that_changed_are_refused(run: Run, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run.uri, copy)
    (copy / run.state.cycles[-1].model.path).write_bytes(b"other")
    done = invoke("predict", copy, folder / "data" / "val", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "restore the file" in done.output


def load_program(file: Path) -> tuple[dict[str, object], nn.Module]:
    extra = {"metadata.json": ""}
    program = torch.export.load(io.BytesIO(file.read_bytes()), extra_files=extra)
    return json.loads(extra["metadata.json"]), program.module()


def test_a_torch_program_gives_what_predict_gives(run: Run, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "tiny.pt2"
    done = invoke("export", run.uri, "--format", "torch", "--out", file, "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert facts["largest_difference"] <= facts["tolerance"]
    assert facts["same_classes_as_predict"] == 1
    metadata, program = load_program(file)
    assert metadata["class_names"] == list(run.state.created.class_names)
    assert (metadata["image_size"], metadata["model"]) == ([48, 64], "cycle 2")
    image = np.array(Image.open(folder / "data" / "val" / "00000.png").resize((64, 48)))
    with torch.inference_mode():
        logits, class_ids = program(torch.from_numpy(image[None]))
    assert logits.shape == (1, 6, 48, 64)
    assert np.array_equal(class_ids[0].numpy(), next(run.predict([image])))
    with pytest.raises(RuntimeError):
        program(torch.zeros(1, 48, 64, 3))
    again = invoke("export", run.uri, "--format", "torch", "--out", file)
    assert (again.exit_code, "exists already" in again.output) == (2, True)


def test_an_onnx_file_gives_the_logits_of_torch_and_says_what_it_takes(
    frozen: Run, tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    file = tmp_path / "frozen.onnx"
    facts = api.export_model(frozen.uri, str(file))
    assert facts["largest_difference"] <= facts["tolerance"]
    assert facts["same_classes_as_predict"] > 0.8  # predict rounds to bf16 and mirrors here
    session = onnxruntime.InferenceSession(str(file))
    assert [one.shape for one in session.get_inputs()] == [["batch", 48, 64, 3]]
    properties = session.get_modelmeta().custom_metadata_map
    assert json.loads(properties["class_names"]) == list(frozen.state.created.class_names)
    assert json.loads(properties["colors"]) == facts["colors"]
    assert "uint8 (batch, 48, 64, 3)" in properties["input"]
    assert str(Path(__file__).parents[2]).encode() not in file.read_bytes()
    for count in (1, 5):
        images = np.zeros((count, 48, 64, 3), dtype=np.uint8)
        logits, class_ids = session.run(["logits", "class_ids"], {"images": images})
        assert (logits.shape, class_ids.shape) == ((count, 6, 48, 64), (count, 48, 64))


def test_wrong_exports_are_refused_and_nothing_is_written(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object) -> str:
        done = invoke("export", *arguments)
        assert done.exit_code == 2
        assert list(tmp_path.iterdir()) == []
        return done.output

    out = tmp_path / "x.onnx"
    assert "*.onnx" in refused(run.uri, "--format", "onnx", "--out", tmp_path / "x.pt2")
    inside = refused(run.uri, "--format", "onnx", "--out", f"{run.uri}/x.onnx")
    assert "run directory" in inside
    unknown = refused(run.uri, "--format", "torch", "--out", tmp_path / "x.pt2", "--cycle", 9)
    assert "trained cycles are" in unknown
    monkeypatch.setattr(base, "find_spec", lambda name: None)
    assert "pip install 'ray_al[onnx]'" in refused(run.uri, "--format", "onnx", "--out", out)


def test_a_network_that_cannot_be_exported_is_named(folder: Path, tmp_path: Path) -> None:
    made = make_run(folder, "branching", network="Branching")
    with pytest.raises(ConfigError, match="cannot export this network"):
        api.export_model(made.uri, str(tmp_path / "x.pt2"), format_name="torch")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_computes_something_else_is_not_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "TOLERANCE", -1.0)
    with pytest.raises(RayALError, match="nothing was written"):
        api.export_model(run.uri, str(tmp_path / "x.pt2"), format_name="torch")
    assert list(tmp_path.iterdir()) == []
