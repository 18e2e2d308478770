"""On a GPU: all families of strategies, training, kept features, and runs that are killed."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
import torch
from helpers.run_reading import state_of
from helpers.strategies import CASES, configure
from PIL import Image
from torch import nn

from ray_al import api
from ray_al.acquisition import ACQUISITIONS
from ray_al.core.config import parse_config
from ray_al.core.storage import Storage
from ray_al.datasets.synthetic import write_synthetic
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop
from ray_al.driver.pool import read_table
from ray_al.driver.verify import verify
from ray_al.ledger import Journal
from ray_al.models import build_model, trained_state
from ray_al.scoring.inputs import ImageInputs
from ray_al.scoring.scorer import Scorer
from ray_al.train.state import dump

ON_GPU: dict[str, Any] = {"train": {"gpus_per_worker": 1}, "scoring": {"gpus_per_worker": 1}}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("gpu")
    write_synthetic(str(root / "data"), num_images=8, seed=0)
    return root


@pytest.fixture
def exact():
    """Convolutions and products of matrices in float32 as a CPU computes them, not in TF32."""
    flags = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = flags


def on_gpu(changes):
    """A case of the integration tests with training and scoring on a GPU."""
    return {
        **changes,
        **{name: {**changes.get(name, {}), **section} for name, section in ON_GPU.items()},
    }


def needs(name):
    if "superpixels" in str(CASES.get(name)) and importlib.util.find_spec("cv2.ximgproc") is None:
        pytest.skip("superpixels of the kind seeds need opencv-contrib-python-headless")


TRAININGS: dict[str, Any] = {
    "focal": {"train": {"loss": {"kind": "focal"}}},
    "dice": {"train": {"loss": {"kind": "dice"}, "keep": "best", "evaluate_every": 2}},
    "tiles": {"data": {"tile": [32, 48], "tile_overlap": 8}},
    "mirrored_tiles": {
        "data": {"tile": [48, 64], "tile_overlap": 8},
        "strategy": {"acquisition": "equal"},
    },
    "validation_of_a_share": {"data": {"val_split": 0.25, "allow": ["missing_class"]}},
}


@pytest.mark.parametrize("name", [*CASES, *TRAININGS])
def test_a_run_of_every_family_ends_and_verifies(root, name):
    cases = {**CASES, **TRAININGS}
    needs(name)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.max_memory_allocated()
    run_dir = create_run(configure(root, on_gpu(cases[name])), str(root / name))
    assert run_loop(run_dir).kind == "finished"
    assert torch.cuda.max_memory_allocated() > before, "nothing lay on the GPU"
    state = state_of(run_dir)
    assert verify(run_dir)["labelled_regions"] == state.labelled_regions > 0
    chosen = [
        row
        for query in state.queries
        for row in read_table(Storage(run_dir), query.file).to_pylist()
    ]
    assert np.isfinite([row["score"] for row in chosen]).all()


@pytest.mark.parametrize(
    "score",
    [
        name
        for name, one in ACQUISITIONS.items()
        if one.needs_model and name not in ("edald", "dropquery")
    ],
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_scores_are_those_of_the_cpu(root, exact, score, precision):
    passes = {"kind": "ensemble", "count": 2} if ACQUISITIONS[score].inputs == "passes" else {}
    strategy = {"acquisition": score, **({"passes": passes} if passes else {})}
    config = configure(root, {"strategy": strategy}, precision=precision)
    states = []
    for seed in range(2 if passes else 1):
        torch.manual_seed(seed)
        states.append(dump(trained_state(build_model(config.model, 6))))
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 48, 3), dtype=np.uint8)
    maps = []
    for device in ("cpu", "cuda"):
        scorer = Scorer(config, config.strategy, 6, states, device=device)
        assert next(scorer.networks[0].parameters()).device.type == device
        maps.append(
            scorer.maps(ImageInputs(images, config.data.normalize, scorer.form))
            .values.float()
            .cpu()
        )
    close = 1e-4 if precision == "fp32" else 0.05
    if score in (
        "vote_entropy",
        "variation_ratio",
        "disagreement",
    ):  # a vote that turns moves a pixel by much
        assert (maps[0] - maps[1]).abs().mean() < close
    else:
        assert (maps[0] - maps[1]).abs().max() < close * max(1.0, float(maps[0].abs().max()))


def plain(num_classes: int) -> nn.Module:
    """Without dropout, whose masks a GPU draws in its own way."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, num_classes, 1),
    )


TRAINING: dict[str, Any] = {
    "all pixels": {},
    "pairs": {"mirror_loss": True, "consistency": 1.0},
    "some pixels": {"pixels_per_step": 500},
    "adamw": {"optimizer": "adamw", "schedule": "cosine", "clip_gradients": 1},
    "class weights": {"class_weights": "balanced"},
}


@pytest.mark.parametrize("name", TRAINING)
def test_training_follows_the_same_losses_as_on_the_cpu(root, exact, name):
    losses = []
    for gpus in (0, 1):
        changes = {
            "model": {"name": f"{__name__}:plain"},
            "train": {**TRAINING[name], "gpus_per_worker": gpus},
            "budget": {"start": 8, "per_cycle": 4, "amount": 8},
        }
        run_dir = create_run(configure(root, changes), str(root / f"{name}-{gpus}"))
        run_loop(run_dir)
        losses.append(
            [loss for model in state_of(run_dir).trained.values() for _, loss in model.losses]
        )
    assert len(losses[0]) == 4
    assert np.allclose(losses[0], losses[1], rtol=5e-3), losses


def test_training_in_bf16_learns(root):
    changes = on_gpu({"train": {"precision": "bf16", "steps": 60, "learning_rate": 0.02}})
    run_dir = create_run(configure(root, changes), str(root / "bf16"))
    run_loop(run_dir)
    for model in state_of(run_dir).trained.values():
        losses = [loss for _, loss in model.losses]
        assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


RUN: dict[str, Any] = {
    "data": {"dataset": "synthetic", "num_images": 24, "image_size": [96, 128]},
    "regions": {"rows": 4, "columns": 4},
    "strategy": {"acquisition": "equal"},
    "budget": {"start": "5 %", "per_cycle": "5 %", "amount": "10 %"},
    "cluster": {"host": "process"},
}
SHARES: dict[str, Any] = {"side by side": (0.6, 0.4), "in turns": (1, 1)}


@pytest.mark.parametrize("name", SHARES)
def test_a_run_on_ray_that_is_killed_goes_on(tmp_path, name):
    """By the shares of a GPU that training and scoring ask for."""
    train, score = SHARES[name]
    values = {
        **RUN,
        "train": {"steps": 40, "workers": 1, "gpus_per_worker": train},
        "scoring": {"workers": 1, "gpus_per_worker": score, "shard_size": 12},
    }
    parse_config(values, source="test")
    (tmp_path / "c.yaml").write_text(json.dumps(values))
    run_dir = tmp_path / "run"
    command = [sys.executable, "-m", "ray_al.cli"]
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            [*command, "run", str(tmp_path / "c.yaml"), "--out", str(run_dir)],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        deadline = time.monotonic() + 120
        while not (run_dir / "journal").exists() or not any(
            event.kind == "cycle_trained" for event in Journal(Storage(str(run_dir))).events
        ):
            assert time.monotonic() < deadline and process.poll() is None, (
                tmp_path / "log"
            ).read_text()[-3000:]
            time.sleep(0.5)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = subprocess.run(
        [*command, "resume", str(run_dir)], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert verify(str(run_dir))["labelled_regions"] == state_of(str(run_dir)).labelled_regions > 0


def test_predictions_are_those_of_a_cpu_but_for_rounding(root, exact, tmp_path):
    run_dir = create_run(configure(root, on_gpu({})), str(root / "predicts"))
    assert run_loop(run_dir).kind == "finished"
    masks: list[Any] = []
    for gpus in (0, 1):
        out = tmp_path / str(gpus)
        api.predict_images(run_dir, [str(root / "data" / "val")], str(out), gpus=gpus, threads=1)
        files = sorted((out / "ids").iterdir())
        masks.append(np.stack([np.asarray(Image.open(file)) for file in files]))
    assert (masks[0] == masks[1]).mean() > 0.99
