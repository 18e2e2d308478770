"""The training service where workers die, nodes are two, groups are elastic and GPUs are shared."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.training import make_config, make_plan, make_run, tiny
from torch import nn

from ray_al.core.config import RunConfig
from ray_al.core.errors import ClusterError, RayALError
from ray_al.train.loop import TrainStopped
from ray_al.train.trainer import LocalTrainer, open_trainer


class Dying(nn.Module):
    """End its process in training step `after`, unless `marker` says that it has done so before.

    Without a marker it always does.
    """

    def __init__(self, num_classes: int, after: int, marker: str | None) -> None:
        super().__init__()
        self.network, self.after, self.marker, self.steps = tiny(num_classes), after, marker, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        if self.steps == self.after and not (self.marker and Path(self.marker).exists()):
            if self.marker:
                Path(self.marker).touch()
            os._exit(1)
        return self.network(images)


def with_model(config: RunConfig, name: str, **args) -> RunConfig:
    return config.model_copy(
        update={"model": config.model.model_copy(update={"name": name, "args": args})}
    )


PLAIN = "helpers.networks:plain"


def train(config, root, *, plans=1, **options):
    parts = make_run(str(root), config)
    trainer = open_trainer(config, str(root), 1)
    try:
        return [trainer.train(make_plan(parts, cycle), **options) for cycle in range(plans)]
    finally:
        trainer.close()


def wait_until_free(ray, name, amount):
    deadline = time.monotonic() + 90
    while ray.available_resources().get(name, 0) < amount:
        assert time.monotonic() < deadline, ray.available_resources()
        time.sleep(0.2)


def test_a_worker_that_dies_goes_on_from_the_checkpoint_inside_the_cycle(cluster, tmp_path):
    config = make_config(workers=1, checkpoint_interval_s=0)
    marker = tmp_path / "died"
    (result,) = train(
        with_model(config, f"{__name__}:Dying", after=4, marker=str(marker)), tmp_path / "a"
    )
    assert marker.exists()
    local = with_model(make_config(workers=0), f"{__name__}:Dying", after=4, marker=str(marker))
    (alone,) = train(local, tmp_path / "b")
    assert result.files["model.pt"].sha256 == alone.files["model.pt"].sha256
    assert result.losses == alone.losses


@pytest.mark.slow
def test_a_worker_that_always_dies_fails_the_cycle(cluster, tmp_path):
    config = with_model(
        make_config(workers=1, max_failures=1), f"{__name__}:Dying", after=1, marker=None
    )
    with pytest.raises(
        RayALError, match=r"cycle 0: training failed 2 times \(train.max_failures is 1\)"
    ):
        train(config, tmp_path)
    wait_until_free(cluster, "CPU", 4)


@pytest.mark.slow
def test_a_group_that_is_not_kept_frees_its_cpus_after_each_plan(cluster, tmp_path):
    config = make_config(workers=1, keep_workers=False)
    parts = make_run(str(tmp_path), config)
    trainer = open_trainer(config, str(tmp_path), 1)
    for cycle in range(2):
        assert trainer.train(make_plan(parts, cycle)).cycle == cycle
        wait_until_free(cluster, "CPU", 4)


@pytest.mark.slow
def test_a_group_whose_mailbox_dies_is_replaced(cluster, tmp_path):
    killed: list[Any] = []

    def kill(done, total):
        if not killed:
            killed.append(done)
            cluster.kill(vars(trainer)["_mailbox"])

    config = make_config(workers=2, steps=400)
    parts = make_run(str(tmp_path), config)
    trainer = open_trainer(config, str(tmp_path), 1)
    try:
        assert trainer.train(make_plan(parts, 0), progress=kill).num_steps == 400
        assert vars(trainer)["_groups"] == 2
    finally:
        trainer.close()
    assert killed
    wait_until_free(cluster, "CPU", 4)


@pytest.mark.slow
def test_a_group_that_finds_no_room_is_told_of_and_given_up(cluster, tmp_path):
    @cluster.remote(num_cpus=4)
    class Hog:
        def ready(self):
            return True

    hog = Hog.remote()  # type: ignore[attr-defined]
    told: list[Any] = []
    cluster.get(hog.ready.remote())
    config = make_config(workers=1)
    config = config.model_copy(
        update={"cluster": config.cluster.model_copy(update={"start_timeout_s": 15})}
    )
    start = time.monotonic()
    with pytest.raises(
        ClusterError,
        match=(
            r"no group of training workers \(train.workers=1\) started within "
            "cluster.start_timeout_s=15"
        ),
    ):
        train(config, tmp_path, waiting=told.append)
    assert time.monotonic() - start < 60
    assert "waiting for 1 training workers to start" in told[0]
    cluster.kill(hog)
    wait_until_free(cluster, "CPU", 4)


@pytest.mark.slow
def test_a_stop_is_heeded_while_no_group_can_start(cluster, tmp_path):
    @cluster.remote(num_cpus=4)
    class Hog:
        def ready(self):
            return True

    hog = Hog.remote()  # type: ignore[attr-defined]
    cluster.get(hog.ready.remote())
    start = time.monotonic()
    with pytest.raises(TrainStopped):
        train(make_config(workers=1), tmp_path, should_stop=lambda: time.monotonic() - start > 5)
    assert time.monotonic() - start < 15
    cluster.kill(hog)
    wait_until_free(cluster, "CPU", 4)


def test_a_stop_ends_training_between_two_steps(cluster, tmp_path):
    asked: list[Any] = []

    def should_stop():
        return bool(asked)

    config = make_config(workers=1, steps=100_000)
    with pytest.raises(TrainStopped):
        train(
            config,
            tmp_path,
            progress=lambda done, total: asked.append(done),
            should_stop=should_stop,
        )
    wait_until_free(cluster, "CPU", 4)


@pytest.mark.slow
def test_two_workers_evaluate_each_image_once_and_train_within_rounding(cluster, tmp_path):
    """Losses differ by the order of sums only; there is no batch normalisation per worker."""
    (two,) = train(with_model(make_config(workers=2, steps=4), PLAIN), tmp_path / "a")
    (one,) = train(with_model(make_config(workers=0, steps=4), PLAIN), tmp_path / "b")
    assert [loss for _, loss in two.losses] == pytest.approx(
        [loss for _, loss in one.losses], rel=1e-4
    )
    assert len(two.losses) == 4
    assert two.metrics["val"].num_images == one.metrics["val"].num_images
    assert two.metrics["val"].miou == pytest.approx(one.metrics["val"].miou, abs=0.02)
    assert two.metrics["val"].pixel_accuracy == pytest.approx(
        one.metrics["val"].pixel_accuracy, abs=0.02
    )
    assert two.class_pixels == one.class_pixels


def test_groups_of_two_runs_have_names_of_their_own(tmp_path):
    config = make_config(workers=1)
    names = {
        vars(open_trainer(config, str(tmp_path / run), 1, kind=kind))["run_name"]
        for run in "ab"
        for kind in ("train", "final")
    }
    assert len(names) == 4


@pytest.mark.slow
def test_shares_of_fake_gpus(cluster, tmp_path):
    (result,) = train(make_config(workers=2, gpus_per_worker=0.6), tmp_path)
    assert result.num_steps == 6
    wait_until_free(cluster, "GPU", 2)


@pytest.mark.slow
def test_an_elastic_group(cluster, tmp_path):
    first, second = train(make_config(workers=(1, 2)), tmp_path, plans=2)
    assert (first.cycle, second.cycle) == (0, 1)
    wait_until_free(cluster, "CPU", 4)


def test_local_training_without_ray(tmp_path):
    config = make_config()
    parts = make_run(str(tmp_path), config)
    assert LocalTrainer(config, str(tmp_path)).train(make_plan(parts)).num_steps == 6
