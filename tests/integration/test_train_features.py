"""Training on the features of a frozen backbone keeps the promises of training on images."""

import io
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from helpers.frozen_training import RECIPES, configure, make_run
from helpers.training import make_plan, stop_and_resume, train_in_a_group_of_one

from ray_al.core.config import (
    AutoSteps,
    BalancedWeights,
    FinalConfig,
    RunConfig,
    TrainConfig,
)
from ray_al.core.errors import BrokenImagesError, ConfigError
from ray_al.core.families.labels import LABELS
from ray_al.core.families.losses import LOSSES
from ray_al.core.storage import Storage
from ray_al.core.types import Recipe
from ray_al.datasets import open_dataset
from ray_al.features.source import FeatureSource
from ray_al.train.checks import check_train
from ray_al.train.class_weights import balanced_weights
from ray_al.train.inputs import FeatureBatches
from ray_al.train.length import Length, rate_factor
from ray_al.train.loop import CycleTrainer, TrainStopped
from ray_al.train.losses import label_sums, resize_logits
from ray_al.train.order import batch_indices
from ray_al.train.sampled_logits import sample_logits
from ray_al.train.semi.pseudo_labels import PseudoLabels
from ray_al.train.targets import (
    AllPixels,
    DrawnPixels,
    PixelLimit,
    labelled_pixels,
    share_out,
)
from ray_al.train.trainer import LocalTrainer
from ray_al.train.unlabelled import Unlabelled


def train(root, config: RunConfig, **plan):
    parts = make_run(str(root), config)
    return LocalTrainer(config, str(root)).train(make_plan(parts, **plan))


def test_a_checkpoint_holds_the_head_alone_and_scores_without_the_image(tmp_path):
    config = configure()
    files = open_dataset(config.data).splits["train"][:2]
    result = train(tmp_path, config, preview_images=files, snapshots=2)
    state = torch.load(
        io.BytesIO(Storage(str(tmp_path)).read_ref(result.files["model.pt"])), weights_only=True
    )
    assert state and all(name.startswith("head.") for name in state)
    assert set(result.files) == {"model.pt", "preview.npz", "snapshot-01.pt"}
    assert result.metrics["val"].num_images > 0
    preview = np.load(io.BytesIO(Storage(str(tmp_path)).read_ref(result.files["preview.npz"])))
    assert preview["image_1"].shape == (32, 48, 3)
    assert preview["prediction_1"].shape == preview["entropy_1"].shape == (32, 48)


@pytest.mark.parametrize("recipe", RECIPES)
def test_resuming_inside_a_cycle_changes_no_byte(tmp_path, recipe):
    config = configure(checkpoint_interval_s=0, **RECIPES[recipe])
    whole = train(tmp_path / "a", config)
    parts = make_run(str(tmp_path / "b"), config)
    again, steps = stop_and_resume(config, str(tmp_path / "b"), parts)
    assert steps == [4, 5, 6]
    assert again.files["model.pt"].sha256 == whole.files["model.pt"].sha256
    assert again.losses == whole.losses


@pytest.mark.parametrize("recipe", RECIPES)
def test_torch_distributed_with_one_worker_gives_the_same_bytes(tmp_path, recipe):
    config = configure(**RECIPES[recipe])
    alone = train(tmp_path / "a", config)
    parts = make_run(str(tmp_path / "b"), config)
    result = train_in_a_group_of_one(config, str(tmp_path / "b"), make_plan(parts))
    assert result.files["model.pt"].sha256 == alone.files["model.pt"].sha256
    assert result.metrics == alone.metrics


def test_cold_warm_and_without_memory_give_equal_bytes(tmp_path):
    config = configure()
    parts = make_run(str(tmp_path / "a"), config)
    warm = LocalTrainer(config, str(tmp_path / "a"))
    first, second = warm.train(make_plan(parts)), warm.train(make_plan(parts, 1))
    cold = train(tmp_path / "b", config, cycle=1)
    data = config.data.model_copy(update={"cache_gb": 0.0})
    forgetful = train(tmp_path / "c", config.model_copy(update={"data": data}), cycle=1)
    assert (
        second.files["model.pt"].sha256
        == cold.files["model.pt"].sha256
        != first.files["model.pt"].sha256
    )
    assert forgetful.files["model.pt"].sha256 == cold.files["model.pt"].sha256


def test_settling_batch_norm_leaves_the_backbone_alone(tmp_path):
    config = configure(batch_norm={"reestimate_batches": 3})
    parts = make_run(str(tmp_path), config)
    trainer = CycleTrainer(config, str(tmp_path), AloneComm(), "cpu")
    kept = []
    trainer.run(make_plan(parts), wrap=lambda model: kept.append(model) or model)
    backbone = dict(kept[0].backbone.named_buffers())
    assert all(
        not (name.endswith("running_mean") and value.any()) for name, value in backbone.items()
    )
    head = dict(kept[0].head.named_buffers())
    assert {int(value) for name, value in head.items() if name.endswith("num_batches_tracked")} == {
        3
    }


class AloneComm:
    """One worker; its `sum` adds what others would have given, where a test says so."""

    def __init__(
        self, rank: int = 0, world_size: int = 1, added: torch.Tensor | None = None
    ) -> None:
        self.rank, self.world_size, self.added = rank, world_size, added

    def sum(self, tensor):
        return tensor if self.added is None else tensor + self.added

    def broadcast(self, value):
        return value

    def barrier(self):
        return None


def test_a_plan_of_one_step_on_other_sizes_and_all_masks(tmp_path):
    config = configure()
    result = train(
        tmp_path, config, all_masks=True, recipe=Recipe(train={"steps": 1}, image_size=(48, 64))
    )
    assert (result.num_images, result.num_steps) == (6, 1)
    assert result.metrics["val"].num_images > 0


@pytest.mark.parametrize("pixels", [None, 200])
def test_sets_of_classes_are_trained_on(tmp_path, pixels):
    config = configure(prototype=0.5, pixels_per_step=pixels).model_copy(
        update={"label": LABELS.parse({"kind": "classes"})}
    )
    parts = make_run(str(tmp_path), config, "classes", [1, 3])
    result = LocalTrainer(config, str(tmp_path)).train(make_plan(parts))
    assert all(np.isfinite(loss) for _, loss in result.losses)
    assert result.losses[-1][1] < result.losses[0][1]


def test_dominant_labels_are_sieved_by_an_earlier_head(tmp_path):
    config = configure().model_copy(
        update={"label": LABELS.parse({"kind": "dominant", "sieve": True})}
    )
    parts = make_run(str(tmp_path), config, "dominant", [1])
    trainer = LocalTrainer(config, str(tmp_path))
    first = trainer.train(make_plan(parts))
    again = trainer.train(make_plan(parts, 1, sieve=first.files["model.pt"]))
    assert again.num_steps == 6


def test_all_broken_images_are_named(tmp_path):
    config = configure(steps=1)
    parts = make_run(str(tmp_path / "run"), config)
    file = tmp_path / "run" / "manifest.parquet"
    manifest = pq.read_table(file)
    uris = manifest.column("uri").to_pylist()
    for name in ("0", "1"):
        path = tmp_path / f"{name}.png"
        path.write_bytes(b"no picture")
        uris[int(name)] = str(path)
    place = manifest.schema.get_field_index("uri")
    pq.write_table(manifest.set_column(place, "uri", pa.array(uris)), file)
    trainer = CycleTrainer(config, str(tmp_path / "run"), AloneComm(), "cpu")
    with pytest.raises(BrokenImagesError) as caught:
        trainer.run(make_plan(parts))
    assert len(caught.value.images) == 2


def make_batches(root: str, config: RunConfig, comm=None) -> FeatureBatches:
    parts = make_run(root, config)
    trainer = CycleTrainer(config, root, comm or AloneComm(), "cpu")
    trainer._samples(make_plan(parts))
    batches = trainer.feed.batches(make_plan(parts))
    assert isinstance(batches, FeatureBatches)
    return batches


def test_labels_follow_the_views(tmp_path):
    batches = make_batches(str(tmp_path), configure())
    seen = set()
    for step in range(6):
        batch = batches.drawn({0: 0, 1: 1}, step)
        for position, index in ((0, 0), (1, 1)):
            view = batches._view(step, position)
            seen.add(view)
            mask = batches.samples.mask(index)
            wanted = mask.ravel()[batches.source.draw(index, view).source_index()]
            assert np.array_equal(batch.labels[position], wanted)
            record = batches.source.records([index], view)
            maps = batches.source.layout.unpack(record)
            assert all(
                torch.equal(a[position], b[0]) for a, b in zip(batch.inputs, maps, strict=True)
            )
    assert len(seen) > 2
    pair = batches.paired({0: 0, 1: 1}, 0)
    mirrored = batches.source.layout.unpack(batches.source.records([1], batches.source.mirror_view))
    assert torch.equal(pair.inputs[0][3], mirrored[0][0])
    assert np.array_equal(pair.labels[1], batches.samples.mask(1))


def test_features_are_looked_up_in_full_batches_where_memory_holds_them(tmp_path, monkeypatch):
    asked = []
    real = FeatureSource.records
    monkeypatch.setattr(
        FeatureSource,
        "records",
        lambda self, numbers, view: asked.append(len(numbers)) or real(self, numbers, view),
    )
    batches = make_batches(str(tmp_path), configure())
    batches.prepare(
        ((step, {0: 0, 1: 1, 2: 2, 3: 3}) for step in range(50)), paired=False, plain=False
    )
    assert asked == [2] * 8  # four images of four views
    asked.clear()
    batches.cache_bytes = 100
    batches.prepare(((step, {0: 0}) for step in range(50)), paired=False, plain=False)
    assert asked == []


def test_sampled_logits_are_those_of_the_whole_resize():
    logits = (
        torch.randn(3, 5, 7, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        .float()
        .requires_grad_()
    )
    size = (20, 31)
    images = torch.tensor([0, 0, 1, 2, 2, 2])
    pixels = torch.tensor([0, 619, 30, 589, 310, 17])
    values = sample_logits(logits, images, pixels, size)
    whole = resize_logits(logits, size).flatten(2)
    torch.testing.assert_close(values, whole[images, :, pixels])
    weights = torch.randn(values.shape, generator=torch.Generator().manual_seed(1))
    ours = torch.autograd.grad((values * weights).sum(), logits)[0]
    theirs = torch.autograd.grad((whole[images, :, pixels] * weights).sum(), logits)[0]
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("kind", "partial"),
    [("cross_entropy", False), ("cross_entropy", True), ("focal", True), ("dice", False)],
)
def test_drawing_every_labelled_pixel_gives_the_whole_loss(kind, partial):
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 1, 2, 255], (2, 8, 12)).astype(np.uint8)
    if partial:
        bits, regions = rng.choice([0, 1, 3, 6], (2, 2, 2)), np.arange(1, 5).reshape(2, 2)
        bits, regions = (
            bits.repeat(4, 1).repeat(6, 2),
            np.stack([regions] * 2).repeat(4, 1).repeat(6, 2),
        )
        labels = np.stack([bits, regions], axis=-1)
    logits = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    weights = None if partial else torch.tensor([1.0, 2.0, 0.5])
    loss = LOSSES.parse(kind)
    pixels = DrawnPixels(labels, labelled_pixels(labels), torch.device("cpu"))
    drawn = torch.hstack(pixels.sums(loss, logits, weights))
    target = torch.from_numpy(labels).long()
    whole = torch.hstack(AllPixels(target).sums(loss, logits, weights))
    torch.testing.assert_close(drawn, whole, rtol=1e-5, atol=1e-5)
    sums = label_sums(loss, resize_logits(logits, (8, 12)), target, weights)
    assert whole.equal(torch.hstack(sums))


def test_pixels_are_shared_out_by_the_labelled_ones_of_each_image():
    counts = np.array([10, 0, 1000, 1, 500])
    assert share_out(counts, 2000) is counts
    for limit in (1, 7, 100, 1510):
        shares = share_out(counts, limit)
        assert shares.sum() == limit
        assert (shares <= counts).all() and (shares >= 0).all()


def test_three_workers_draw_the_pixels_of_one(tmp_path):
    config = configure(pixels_per_step=100)
    plan = make_plan(make_run(str(tmp_path), config))
    trainer = CycleTrainer(config, str(tmp_path), AloneComm(0, 1, None), "cpu")
    indices = trainer._samples(plan).indices
    batches = trainer.feed.batches(plan)
    whole = dict(enumerate(batch_indices(indices, plan.seed, plan.cycle, 2, 4)))

    def counts_of(places):
        return [len(pixels) for pixels in labelled_pixels(batches.drawn(places, 2).labels)]

    def drawn(rank: int, size: int, others):
        places = {place: whole[place] for place in range(rank, 4, size)}
        limit = PixelLimit(100, 4, plan, AloneComm(rank, size, others))
        labels = batches.drawn(places, 2).labels
        chosen = limit.draw(labels, places, 2, torch.device("cpu"))
        return {place: chosen.pixels[chosen.images == n].numpy() for n, place in enumerate(places)}

    counts, alone = counts_of(whole), drawn(0, 1, None)
    assert sum(map(len, alone.values())) == 100
    together = {}
    for rank in range(3):
        others = torch.tensor([0 if place % 3 == rank else counts[place] for place in range(4)])
        together.update(drawn(rank, 3, others))
    assert all(np.array_equal(alone[place], together[place]) for place in alone)


def test_balanced_weights_have_mean_one_over_the_labelled_pixels():
    pixels = np.array([900, 90, 10, 0])
    weights = balanced_weights(pixels, 0.5)
    assert (weights * pixels).sum() / 1000 == pytest.approx(1)
    assert weights[2] / weights[0] == pytest.approx(((0.9 + 0.001) / (0.01 + 0.001)) ** 0.5)
    config = TrainConfig(steps=1, class_weights="balanced")
    assert config.class_weights == BalancedWeights(balanced=0.5)
    assert TrainConfig(steps=1, class_weights={"balanced": 1}).class_weights == BalancedWeights(
        balanced=1.0
    )
    assert TrainConfig(steps=1, class_weights=[1, 2]).class_weights == (1.0, 2.0)


def test_rates_rise_then_follow_the_schedule():
    train = TrainConfig(steps=10, warmup=0.2, schedule="cosine")
    factors = [rate_factor(train, Length(10, guess=1.0), step, 4, 2) for step in range(10)]
    assert factors[:3] == pytest.approx([0.5, 1.0, 1.0])
    assert factors[6] == pytest.approx(0.5)
    assert factors[9] < 0.05


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"augment": {"scale": [0.5, 2]}}, "train.augment.scale"),
        ({"mirror_loss": True}, "train.mirror_loss"),
        ({"consistency": 1.0}, "train.consistency"),
        ({"mirror_test": True}, "train.mirror_test"),
        ({"semi": {"kind": "pseudo_labels"}, "mirror_loss": True}, "train.semi"),
    ],
)
def test_what_features_cannot_do_is_refused(changes, key):
    config = configure(**changes)
    without = config.features.model_copy(update={"views": config.features.views[1:]})
    with pytest.raises(ConfigError, match=key):
        check_train(config.model_copy(update={"features": without}))


def test_a_mirrored_view_lets_features_do_what_images_do():
    check_train(configure(mirror_loss=True, consistency=1.0, mirror_test=True))


AUTO: dict[str, Any] = {"max": 12, "window": 4, "learnt": 0.9, "decay": 0.5}


def test_steps_follow_the_labels():
    rule = AutoSteps(max=30, window=4, learnt=0.5, decay=0.5)
    length = Length(rule, guess=math.log(2))
    losses = [0.7, 0.6, 0.5, 0.2]
    for count in range(1, 4):
        length.look(losses[:count])
        assert (length.settled, length.total) == (None, 30)
    length.look(losses)
    assert length.settled is None  # the mean is .5, half of a guess's is .35
    length.look([*losses, 0.05])
    assert (length.settled, length.total) == (5, 7)
    length.look([*losses, 0.05, 9.0])
    assert (length.settled, length.total) == (5, 7)
    bounded = Length(rule, guess=math.log(2))
    for count in range(1, 30):
        bounded.look([1.0] * count)
    assert (bounded.settled, bounded.total) == (20, 30)


def test_the_rate_falls_once_the_labels_are_learnt():
    train = TrainConfig(steps=AutoSteps(max=30, window=4, decay=0.5), warmup=0.5, schedule="cosine")
    length = Length(train.steps, guess=math.log(2))
    assert [rate_factor(train, length, step, 4, 2) for step in (0, 1, 2, 19)] == [
        0.5,
        1.0,
        1.0,
        1.0,
    ]
    assert length.done(9) == 0
    length.settle(10)
    assert length.done(9) == 9 / 15
    assert [rate_factor(train, length, step, 4, 2) for step in (10, 14)] == pytest.approx(
        [1.0, 0.5 * (1 + np.cos(0.8 * np.pi))]
    )
    assert rate_factor(train, length, 12, 4, 2) == pytest.approx(0.5 * (1 + np.cos(0.4 * np.pi)))


def test_a_training_that_follows_its_labels_resumes_to_the_same_byte(tmp_path):
    config = configure(steps=AUTO, checkpoint_interval_s=0, schedule="cosine", learning_rate=0.05)
    whole = train(tmp_path / "a", config, snapshots=2)
    assert 6 <= whole.num_steps <= 12
    assert len(whole.losses) == whole.num_steps
    assert len([name for name in whole.files if name.startswith("snapshot-")]) == 1
    for stop_at in (2, whole.num_steps - 1):
        root = str(tmp_path / f"b{stop_at}")
        parts = make_run(root, config)
        calls = iter([False] * stop_at + [True]).__next__
        with pytest.raises(TrainStopped):
            LocalTrainer(config, root).train(make_plan(parts, snapshots=2), should_stop=calls)
        again = LocalTrainer(config, root).train(make_plan(parts, snapshots=2))
        assert again.files["model.pt"].sha256 == whole.files["model.pt"].sha256
        assert again.num_steps == whole.num_steps


def test_auto_stands_for_the_rule_s_defaults():
    assert TrainConfig(steps="auto").steps == AutoSteps()
    with pytest.raises(ConfigError, match="train.steps.*window=900"):
        configure(steps={"window": 900})
    with pytest.raises(ConfigError, match="train.steps.*'automatic'"):
        configure(steps="automatic")


def test_of_each_class_the_surest_predictions_are_believed():
    rng = np.random.default_rng(0)
    confidence = np.concatenate([rng.uniform(0.9, 1, 1000), rng.uniform(0.4, 0.6, 100)])
    classes = np.repeat([0, 2], [1000, 100])
    probabilities = np.zeros((1100, 3), dtype=np.float32)
    probabilities[:, 1] = (1 - confidence) / 3
    probabilities[np.arange(1100), 2 - classes] = (1 - confidence) * 2 / 3
    probabilities[np.arange(1100), classes] = confidence
    labels = (
        PseudoLabels(share=0.25)
        .label(torch.from_numpy(probabilities), lambda counts: counts)
        .numpy()
    )
    for name in (0, 2):
        believed = labels[classes == name] == name
        assert 0 < believed.sum() <= 0.25 * len(believed) + 1
        assert (
            confidence[classes == name][believed].min()
            >= confidence[classes == name][~believed].max() - 1 / 256
        )
    assert set(labels) == {0, 2, 255}


def test_pseudo_labels_come_from_the_same_pixel_of_the_image(tmp_path):
    """A network that names each pixel gives each drawn pixel of a view its origin."""
    config = configure(semi={"kind": "pseudo_labels", "pixels": 200})
    batches = make_batches(str(tmp_path), config)
    asked = Unlabelled(config.train.semi, make_plan([]), batches, AloneComm(), 4)
    places = {0: 0, 1: 1, 2: 2, 3: 3}
    for step in range(3):
        batch = batches.drawn(places, step)
        images, pixels, origins = asked._draw(batch, places, step)
        assert all(
            10 < count <= 50 for count in np.bincount(images, minlength=4)
        )  # half of each image is labelled
        for image, pixel, origin in zip(images, pixels, origins, strict=True):
            assert batch.labels[image].ravel()[pixel] == 255
            view = batches.source.draw(places[image], batches._view(step, image))
            assert view.source_index().ravel()[pixel] == origin


def test_the_final_section_takes_the_recipe_s_keys():
    config = configure(steps="auto", class_weights="balanced")
    final = FinalConfig(
        steps=AutoSteps(max=500),
        train={"class_weights": [1] * 6, "semi": {"kind": "pseudo_labels", "share": 0.2}},
    )
    settings = config.with_recipe(final.recipe).train
    assert settings.steps == AutoSteps(max=500)
    assert settings.class_weights == (1.0,) * 6
    assert settings.semi == PseudoLabels(share=0.2)
    assert config.with_recipe(FinalConfig(steps=7).recipe).train.steps == 7
    assert config.with_recipe(FinalConfig(epochs=7).recipe).train.steps is None


@pytest.mark.parametrize("sets", [False, True])
def test_a_batch_without_a_labelled_pixel_has_no_loss_and_no_gradient(sets):
    labels = (
        np.zeros((2, 4, 6, 2), dtype=np.int64) if sets else np.full((2, 4, 6), 255, dtype=np.uint8)
    )
    logits = torch.randn(2, 3, 2, 3, requires_grad=True)
    pixels = DrawnPixels(labels, labelled_pixels(labels), torch.device("cpu"))
    sums = pixels.sums(LOSSES.parse("cross_entropy"), logits, torch.ones(3))
    sums.labels[0].backward()
    assert sums.labels.eq(0).all()
    assert logits.grad.eq(0).all()
