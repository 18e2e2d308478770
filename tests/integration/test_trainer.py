import pytest
import torch
from helpers.training import make_config, make_plan, make_run

from ray_al.core.storage import Storage
from ray_al.train.state import parse
from ray_al.train.trainer import LocalTrainer, open_trainer


def weights(root, result):
    return parse(Storage(str(root)).read_ref(result.files["model.pt"]))


def test_two_workers_train_two_plans_in_one_group(cluster, tmp_path):
    config = make_config(workers=2, batch_norm={"momentum": 0.1})
    parts = make_run(str(tmp_path / "a"), config)
    trainer = open_trainer(config, str(tmp_path / "a"), 1)
    try:
        first = trainer.train(make_plan(parts[:1], 0))
        thread = vars(trainer)["_thread"]
        second = trainer.train(make_plan(parts, 1))
        assert vars(trainer)["_thread"] is thread
        assert thread.is_alive()
    finally:
        trainer.close()
    assert not thread.is_alive()
    assert (first.cycle, second.cycle) == (0, 1)
    make_run(str(tmp_path / "b"), config)
    alone = LocalTrainer(config, str(tmp_path / "b")).train(make_plan(parts, 1))
    assert second.class_pixels == alone.class_pixels
    assert second.metrics["val"].num_images == alone.metrics["val"].num_images
    assert second.losses[0][1] == pytest.approx(alone.losses[0][1], rel=0.2)


def test_one_worker_gives_the_bytes_of_the_local_trainer(cluster, tmp_path):
    config = make_config(workers=1)
    parts = make_run(str(tmp_path / "a"), config)
    trainer = open_trainer(config, str(tmp_path / "a"), 1)
    try:
        result = trainer.train(make_plan(parts))
    finally:
        trainer.close()
    make_run(str(tmp_path / "b"), config)
    alone = LocalTrainer(config, str(tmp_path / "b")).train(make_plan(parts))
    assert result.metrics == alone.metrics
    ours, theirs = weights(tmp_path / "a", result), weights(tmp_path / "b", alone)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert result.files["model.pt"].sha256 == alone.files["model.pt"].sha256
