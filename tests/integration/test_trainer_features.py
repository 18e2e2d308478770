"""Training on features is the same for any number of workers of a real training group."""

import pytest
from helpers.frozen_training import PLAIN, RECIPES, configure, make_run
from helpers.training import make_plan

from ray_al.train.trainer import LocalTrainer, open_trainer


def in_group(root: str, config, workers: int):
    config = config.model_copy(
        update={"train": config.train.model_copy(update={"workers": workers})}
    )
    trainer = open_trainer(config, root, 1)
    try:
        return trainer.train(make_plan(make_run(root, config)))
    finally:
        trainer.close()


@pytest.mark.slow
def test_one_worker_gives_the_bytes_of_the_local_trainer(cluster, tmp_path):
    config = configure(**RECIPES["semi"])
    grouped = in_group(str(tmp_path / "a"), config, 1)
    alone = LocalTrainer(config, str(tmp_path / "b")).train(
        make_plan(make_run(str(tmp_path / "b"), config))
    )
    assert grouped.metrics == alone.metrics
    assert grouped.files["model.pt"].sha256 == alone.files["model.pt"].sha256


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["recipe", "semi", "pair"])
def test_three_workers_train_as_one_but_for_the_order_of_sums(cluster, tmp_path, recipe):
    settings = {**RECIPES[recipe], "batch_size": 6}
    config = configure(head=PLAIN, **settings)
    grouped = in_group(str(tmp_path / "a"), config, 3)
    alone = LocalTrainer(config, str(tmp_path / "b")).train(
        make_plan(make_run(str(tmp_path / "b"), config))
    )
    assert [loss for _, loss in grouped.losses] == pytest.approx(
        [loss for _, loss in alone.losses], rel=1e-4
    )
    assert grouped.metrics["val"].miou == pytest.approx(alone.metrics["val"].miou, abs=1e-3)
    assert grouped.class_pixels == alone.class_pixels
