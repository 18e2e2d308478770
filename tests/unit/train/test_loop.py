import io

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from helpers.training import (
    make_config,
    make_plan,
    make_run,
    parquet,
    stop_and_resume,
    train_in_a_group_of_one,
)

from ray_al.core.config import AugmentConfig, RunConfig, TrainConfig, parse_config
from ray_al.core.errors import ConfigError, DataError
from ray_al.core.families.labels import LABELS
from ray_al.core.storage import Storage
from ray_al.core.types import LABEL_SCHEMA, FileRef
from ray_al.datasets import open_dataset
from ray_al.train.augment import augment
from ray_al.train.checks import check_train
from ray_al.train.length import Length, num_steps, rate_factor
from ray_al.train.loop import TrainStopped
from ray_al.train.mailbox import Mailbox
from ray_al.train.order import batch_indices
from ray_al.train.trainer import LocalTrainer, open_trainer


def train(root: str, config: RunConfig, **plan):
    parts = make_run(root, config)
    return LocalTrainer(config, root).train(make_plan(parts, **plan))


def model_bytes(root: str, result) -> bytes:
    return Storage(root).read_ref(result.files["model.pt"])


def test_a_plan_gives_files_metrics_and_losses(tmp_path):
    config = make_config(policy="continue", batch_norm={"reestimate_batches": 2})
    files = open_dataset(config.data).splits["train"][:2]
    result = train(str(tmp_path), config, preview_images=files, splits=("val", "test"))
    assert set(result.files) == {"model.pt", "optimizer.pt", "preview.npz"}
    assert set(result.metrics) == {
        split for split in ("val", "test") if open_dataset(config.data).splits.get(split)
    }
    assert result.metrics["val"].num_images > 0
    assert [step for step, _ in result.losses] == list(range(6))
    assert sum(result.class_pixels) > 0
    assert result.num_images == 4
    preview = np.load(io.BytesIO(Storage(str(tmp_path)).read("cycles/0000/checkpoint/preview.npz")))
    assert preview["image_1"].shape == (32, 48, 3)
    assert preview["prediction_1"].shape == preview["entropy_1"].shape == (32, 48)
    assert list(preview["image_ids"]) == [file.image_id for file in files]


def test_equal_bytes_cold_and_warm(tmp_path):
    config = make_config(augment={"mirror": True, "scale": [0.7, 1.4]})
    parts = make_run(str(tmp_path / "a"), config)
    warm = LocalTrainer(config, str(tmp_path / "a"))
    first = warm.train(make_plan(parts[:1], 0))
    second = warm.train(make_plan(parts, 1))
    cold = train(str(tmp_path / "b"), config, cycle=1)
    assert (
        second.files["model.pt"].sha256
        == cold.files["model.pt"].sha256
        != first.files["model.pt"].sha256
    )
    assert second.class_pixels == cold.class_pixels != first.class_pixels


def test_resuming_inside_a_cycle_changes_no_byte(tmp_path):
    config = make_config(checkpoint_interval_s=0, mirror_loss=True, consistency=1.0)
    whole = train(str(tmp_path / "a"), config)
    parts = make_run(str(tmp_path / "b"), config)
    again, steps = stop_and_resume(config, str(tmp_path / "b"), parts)
    assert steps == [4, 5, 6]
    assert again.files["model.pt"].sha256 == whole.files["model.pt"].sha256
    assert again.losses == whole.losses
    assert not Storage(str(tmp_path / "b")).exists("cycles/0000/progress.pt")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: data[:-9],
        lambda data: data[:5000] + bytes([data[5000] ^ 1]) + data[5001:],
    ],
)
def test_a_damaged_checkpoint_inside_a_cycle_is_passed_over(tmp_path, change):
    config, storage = make_config(checkpoint_interval_s=0), Storage(str(tmp_path / "b"))
    whole = train(str(tmp_path / "a"), config)
    parts = make_run(storage.root, config)
    calls = iter([False] * 3 + [True])
    with pytest.raises(TrainStopped):
        LocalTrainer(config, storage.root).train(make_plan(parts), should_stop=lambda: next(calls))
    name = make_plan(parts).partial_checkpoint
    storage.replace(name, change(storage.read(name)))
    seen = []
    again = LocalTrainer(config, storage.root).train(
        make_plan(parts), lambda step, total: seen.append(step)
    )
    assert seen[0] == 1
    assert again.files["model.pt"].sha256 == whole.files["model.pt"].sha256


def test_snapshots_survive_a_stop_inside_a_cycle(tmp_path):
    config = make_config(checkpoint_interval_s=0, steps=8)
    whole = train(str(tmp_path / "a"), config, snapshots=3)
    assert sorted(whole.files) == ["model.pt", "snapshot-01.pt", "snapshot-02.pt"]
    assert len({ref.sha256 for ref in whole.files.values()}) == 3
    parts = make_run(str(tmp_path / "b"), config)
    calls = iter([False] * 7 + [True])
    with pytest.raises(TrainStopped):
        LocalTrainer(config, str(tmp_path / "b")).train(
            make_plan(parts, snapshots=3), should_stop=lambda: next(calls)
        )
    again = LocalTrainer(config, str(tmp_path / "b")).train(make_plan(parts, snapshots=3))
    assert {name: ref.sha256 for name, ref in again.files.items()} == {
        name: ref.sha256 for name, ref in whole.files.items()
    }


def partial(config: RunConfig, kind: str, **label) -> RunConfig:
    return config.model_copy(update={"label": LABELS.parse({"kind": kind, **label})})


def test_sets_of_one_class_train_as_dense_labels_do(tmp_path):
    config = make_config(augment={"scale": [0.5, 1.5]})
    dense = train(str(tmp_path / "dense"), config)
    sets = train(str(tmp_path / "sets"), partial(config, "classes"))
    assert [loss for _, loss in sets.losses] == pytest.approx(
        [loss for _, loss in dense.losses], rel=1e-4
    )
    assert sets.class_pixels == dense.class_pixels


def relabel(root: str, ref: FileRef, kind: str, classes: list[int]) -> FileRef:
    """The part with other labels: one answer on each region's whole box."""
    table = pq.read_table(io.BytesIO(Storage(root).read_ref(ref)))
    rows = [{**row, "kind": kind, "mask": None, "classes": classes} for row in table.to_pylist()]
    return Storage(root).put("labels/other.parquet", parquet(rows, LABEL_SCHEMA), attempt=0)


def test_sets_of_several_classes_are_trained_on_and_counted_in_parts(tmp_path):
    config, root = partial(make_config(prototype=0.5), "classes"), str(tmp_path)
    part = relabel(root, make_run(root, config)[0], "classes", [1, 3])
    result = LocalTrainer(config, root).train(make_plan([part]))
    pixels = 4 * 96 * 64
    assert result.class_pixels == (0, pixels // 2, 0, pixels // 2, 0, 0)
    assert all(np.isfinite(loss) for _, loss in result.losses)
    assert result.losses[-1][1] < result.losses[0][1]


def test_the_sieve_believes_fewer_pixels_until_the_next_update(tmp_path):
    config, root = partial(make_config(), "dominant", sieve=True), str(tmp_path)
    part = relabel(root, make_run(root, config)[0], "dominant", [1])
    trainer = LocalTrainer(config, root)
    first = trainer.train(make_plan([part]))
    samples = trainer._cycles.samples
    masks = [samples.mask(index)[..., 0] for index in samples.indices]
    whole = np.count_nonzero(masks)
    likely = (
        np.linspace(0, 1, 32 * 48, dtype=np.float32).reshape(1, 32, 48).repeat(6, axis=0) ** 0.2
    )
    samples.sieve(lambda index: likely)
    kept = np.count_nonzero([samples.mask(index)[..., 0] for index in samples.indices])
    assert 0 < kept < whole
    again = trainer.train(make_plan([part], 1, sieve=first.files["model.pt"]))
    assert again.num_steps == 6
    assert again.class_pixels == first.class_pixels  # what was labelled, believed or not


def test_zero_steps_only_builds_and_init_is_loaded(tmp_path):
    config = make_config()
    built = train(str(tmp_path), config, steps=0)
    assert built.metrics == {}
    parts = make_run(str(tmp_path), config)
    loaded = LocalTrainer(config, str(tmp_path)).train(
        make_plan(parts, 1, init=built.files["model.pt"], steps=0)
    )
    assert loaded.files["model.pt"].sha256 == built.files["model.pt"].sha256


def test_continue_goes_on_with_the_optimizer(tmp_path):
    config = make_config(policy="continue", steps=2)
    parts = make_run(str(tmp_path), config)
    trainer = LocalTrainer(config, str(tmp_path))
    first = trainer.train(make_plan(parts))
    after = {"init": first.files["model.pt"], "init_optimizer": first.files["optimizer.pt"]}
    second = trainer.train(make_plan(parts, 1, **after))
    state = torch.load(
        io.BytesIO(Storage(str(tmp_path)).read_ref(second.files["optimizer.pt"])), weights_only=True
    )
    assert state["state"][0]["step"] == 4


def test_the_upper_bound_trains_on_every_mask(tmp_path):
    result = train(str(tmp_path), make_config(), all_masks=True)
    assert result.num_images == 6


def test_nothing_labelled_is_a_data_error(tmp_path):
    make_run(str(tmp_path), make_config())
    with pytest.raises(DataError, match="no labelled region"):
        LocalTrainer(make_config(), str(tmp_path)).train(make_plan([]))


def test_torch_distributed_with_one_worker_gives_the_same_bytes(tmp_path):
    config = make_config()
    alone = train(str(tmp_path / "a"), config)
    parts = make_run(str(tmp_path / "b"), config)
    result = train_in_a_group_of_one(config, str(tmp_path / "b"), make_plan(parts))
    assert result.files["model.pt"].sha256 == alone.files["model.pt"].sha256
    assert result.metrics == alone.metrics


def test_batches_are_full_and_every_epoch_has_every_image():
    batches = [batch_indices([3, 5, 9], 0, 1, step, 4) for step in range(3)]
    assert all(len(batch) == 4 for batch in batches)
    flat = sum(batches, [])
    assert all(sorted(flat[i : i + 3]) == [3, 5, 9] for i in range(0, 12, 3))
    assert batches != [batch_indices([3, 5, 9], 0, 2, step, 4) for step in range(3)]


def test_length_and_schedules():
    plan = make_plan([])
    assert num_steps(plan, TrainConfig(epochs=3), 5, 4) == 6
    assert num_steps(make_plan([], extra_epochs=2), TrainConfig(steps=9), 5, 4) == 4
    assert num_steps(make_plan([], steps=0), TrainConfig(steps=9), 5, 4) == 0
    factors = {
        name: rate_factor(
            TrainConfig(schedule_step=2, schedule=name), Length(10, guess=1.0), 5, 4, 2
        )
        for name in ("constant", "poly", "cosine", "step")
    }
    assert factors == pytest.approx({"constant": 1.0, "poly": 0.5**0.9, "cosine": 0.5, "step": 0.1})


def test_augmentation_keeps_shapes_and_pads_with_no_label():
    image, mask = np.full((20, 30, 3), 9, dtype=np.uint8), np.ones((20, 30), dtype=np.uint8)
    config = AugmentConfig(mirror=True, scale=(0.5, 0.5))
    place = {"seed": 0, "cycle": 0, "step": 0, "position": 1}
    small, labels = augment(image, mask, config, **place)
    assert small.shape == image.shape
    assert (labels == 1).sum() == 10 * 15
    assert set(np.unique(labels)) == {1, 255}
    assert np.array_equal(labels, augment(image, mask, config, **place)[1])
    assert augment(image, mask, AugmentConfig(scale=(2, 2)), **place)[1].max() == 1
    sets = np.stack([np.where(mask == 1, 6, 0), np.full(mask.shape, 2)], axis=-1)
    both = augment(image, sets, config, **place)[1]
    assert np.array_equal(both[..., 0] == 6, labels == 1)
    assert np.array_equal(both[..., 1] == 2, labels == 1)


@pytest.mark.parametrize(
    ("model", "train_values", "key"),
    [
        ("deeplabv3_resnet50", {"batch_size": 1}, "one image to a worker"),
        ("deeplabv3_resnet50", {"batch_size": 3, "workers": 2}, "one image to a worker"),
        ("fcn_resnet50", {"batch_size": 2, "workers": 3}, "fewer than the 3 workers"),
        ("fcn_resnet50", {"batch_norm": {"sync": True}}, "train.batch_norm.sync"),
        ("fcn_resnet50", {"backend": "nccl"}, "train.backend"),
    ],
)
def test_check_train(model, train_values, key):
    with pytest.raises(ConfigError, match=key):
        check_train(parse_config({"model": {"name": model}, "train": train_values}, source="test"))


def test_mailbox_refuses_late_answers():
    box = Mailbox()
    assert box.next_plan(None) is None
    serial = box.put_plan(make_plan([]))
    assert box.next_plan(None)[0] == serial
    assert box.next_plan((0, 1, serial)) is None
    assert not box.put_answer(serial - 1, 0, 1, "late")
    assert not box.put_answer(serial, 0, 2, "other attempt")
    box.started(serial)
    box.started(serial)
    assert box.put_answer(serial, 0, 1, "answer")
    assert not box.put_answer(serial, 0, 1, "again")
    assert box.get_state(serial).answer == "answer"
    assert box.get_state(serial).starts == 2
    assert box.next_plan(None) is None
    box.stop()
    assert box.next_plan(None) == "stop"


def test_open_trainer_without_workers_is_local(tmp_path):
    assert isinstance(open_trainer(make_config(), str(tmp_path), 1), LocalTrainer)
