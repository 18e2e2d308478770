"""Every loss of labelled pixels passes one suite: those of the family, and one of a user's own."""

import math

import pytest
import torch
import torch.nn.functional as F
from helpers.own_variants import own

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.families.losses import LOSSES, Loss
from ray_al.train.checks import check_train
from ray_al.train.comm import LocalComm
from ray_al.train.loss_terms import join_terms, label_term

NUM_CLASSES = 3


class BrierLoss(Loss):
    """A user's own: the mean squared difference between probabilities and label."""

    kind: str = "brier"

    def sums(self, logits, target, class_weights):
        """As `Loss.sums`."""
        labelled = target != 255
        p = logits.movedim(1, -1)[labelled].softmax(1)
        y = F.one_hot(target[labelled], p.shape[1])
        weights = 1 if class_weights is None else class_weights[target[labelled]]
        return torch.stack([(((p - y) ** 2).sum(1) * weights).sum(), labelled.sum().float()])

    def value(self, sums, class_weights):
        """As `Loss.value`."""
        return sums[0] / sums[1].clamp_min(1)

    def of_guess(self, num_classes):
        """As `Loss.of_guess`."""
        return 1 - 1 / num_classes


OWN = {"kind": f"{__name__}:BrierLoss"}
EVERY = [
    *({"kind": kind} for kind in LOSSES.kinds),
    {"kind": "focal", "gamma": 1},
    {"kind": "dice", "cross_entropy": 0.5},
    OWN,
    *({"kind": kind} for kind in own("train.loss")),
]
every = pytest.mark.parametrize("settings", EVERY, ids=lambda one: "-".join(map(str, one.values())))


def batch(seed=0, num_images=4):
    """Logits, and labels of which about half are missing."""
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(num_images, NUM_CLASSES, 5, 6, generator=rng)
    target = torch.randint(0, NUM_CLASSES, (num_images, 5, 6), generator=rng)
    target[torch.rand(target.shape, generator=rng) < 0.5] = 255
    return logits, target


def value_of(loss, logits, target, weights=None):
    return loss.value(loss.sums(logits, target, weights), weights)


@every
def test_pixels_without_a_label_have_no_influence(settings):
    loss = LOSSES.parse(settings)
    logits, target = batch()
    logits.requires_grad_()
    value = value_of(loss, logits, target)
    value.backward()
    unlabelled = (target == 255)[:, None].expand_as(logits)
    assert logits.grad[unlabelled].eq(0).all()
    assert logits.grad[~unlabelled].ne(0).any()
    other = torch.where(unlabelled, 7 * torch.ones(()), logits.detach())
    assert value_of(loss, other, target) == pytest.approx(value.item(), rel=1e-6)


@every
@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 0.0])])
def test_without_any_label_loss_and_gradient_are_zero(settings, weights):
    loss = LOSSES.parse(settings)
    logits = torch.randn(1, NUM_CLASSES, 4, 4, requires_grad=True)
    value = value_of(loss, logits, torch.full((1, 4, 4), 255), weights)
    value.backward()
    assert value == 0
    assert logits.grad.eq(0).all()


@every
@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 0.5])])
def test_sums_of_two_batches_are_those_of_both_together(settings, weights):
    loss = LOSSES.parse(settings)
    logits, target = batch()
    parts = [loss.sums(logits[half], target[half], weights) for half in (slice(1), slice(1, 4))]
    whole = loss.sums(logits, target, weights)
    torch.testing.assert_close(parts[0] + parts[1], whole)
    torch.testing.assert_close(loss.value(2 * whole, weights), loss.value(whole, weights))


@every
def test_one_weight_for_all_classes_changes_nothing(settings):
    loss = LOSSES.parse(settings)
    logits, target = batch()
    plain = value_of(loss, logits, target)
    assert value_of(loss, logits, target, torch.ones(3)) == pytest.approx(plain.item(), rel=1e-6)


@every
def test_a_heavy_class_pulls_harder(settings):
    loss = LOSSES.parse(settings)
    logits, target = torch.zeros(1, 3, 1, 4, requires_grad=True), torch.tensor([[[0, 0, 0, 1]]])
    gradients = []
    for weights in (None, torch.tensor([1.0, 5.0, 1.0])):
        (gradient,) = torch.autograd.grad(value_of(loss, logits, target, weights), logits)
        gradients.append(gradient[0, 1, 0, 3].item())
    assert gradients[1] < gradients[0] < 0


@every
def test_right_answers_cost_nothing_and_wrong_ones_more_than_a_guess(settings):
    loss = LOSSES.parse(settings)
    target = torch.arange(NUM_CLASSES).repeat(10).reshape(1, 5, 6)
    right = 30 * F.one_hot(target, NUM_CLASSES).movedim(-1, 1).float()
    guess = loss.of_guess(NUM_CLASSES)
    assert value_of(loss, right, target) == pytest.approx(0, abs=1e-6)
    assert value_of(loss, torch.zeros_like(right), target) == pytest.approx(guess, rel=1e-5)
    assert value_of(loss, right.roll(1, 1), target) > guess


class TwoWorkers(LocalComm):
    """One of two workers, which knows the sums of the other one."""

    world_size = 2

    def __init__(self, other):
        self.other = other

    def sum(self, tensor):
        """As `Comm.sum`."""
        return tensor + torch.cat([self.other, torch.zeros(1)])


@every
@pytest.mark.parametrize("copies", [1, 2])
def test_two_workers_together_have_the_loss_and_gradient_of_one(settings, copies):
    loss, weights = LOSSES.parse(settings), torch.tensor([1.0, 2.0, 0.5])
    logits, target = batch()
    target[:2] = target[:2].where(target[:2] == 1, 255)  # the workers see different classes
    logits.requires_grad_()
    whole = join_terms(
        [label_term(loss, loss.sums(logits, target, weights), weights, copies=copies)],
        LocalComm(),
        stop=False,
    )
    (wanted,) = torch.autograd.grad(whole.own, logits)
    gradients = []
    for part, other in ((slice(2), slice(2, 4)), (slice(2, 4), slice(2))):
        others = loss.sums(logits[other], target[other], weights).detach()
        term = label_term(
            loss, loss.sums(logits[part], target[part], weights), weights, copies=copies
        )
        joined = join_terms([term], TwoWorkers(others), stop=False)
        assert joined.value == pytest.approx(whole.value, rel=1e-6)
        assert joined.own.item() == pytest.approx(2 * whole.value, rel=1e-6)
        gradients.append(torch.autograd.grad(joined.own, logits)[0])
    torch.testing.assert_close(sum(gradients) / 2, wanted)


@every
def test_labels_of_several_classes_are_learnt_or_refused(settings):
    loss = LOSSES.parse(settings)
    config = parse_config({"label": {"kind": "dominant"}, "train": {"loss": settings}}, source="t")
    if not loss.takes_sets:
        with pytest.raises(ConfigError, match=r"train\.loss.*label\.kind=dominant.*dense"):
            check_train(config)
        return
    check_train(config)
    logits, target = batch()
    weights = torch.tensor([1.0, 2.0, 0.5])
    bits = torch.where(target == 255, 0, 1 << target.clamp_max(NUM_CLASSES))
    torch.testing.assert_close(
        loss.set_sums(logits, bits, weights), loss.sums(logits, target, weights)
    )
    everything = torch.full_like(bits, (1 << NUM_CLASSES) - 1)
    assert loss.value(loss.set_sums(logits, everything, None), None) == pytest.approx(0, abs=1e-6)


def test_focal_is_that_of_segmentation_models():
    functional = pytest.importorskip("segmentation_models_pytorch.losses._functional")
    logits, target = batch()
    logits.requires_grad_()
    ours = value_of(LOSSES.parse({"kind": "focal", "gamma": 2.5}), logits, target)
    known = target != 255
    theirs = functional.softmax_focal_loss_with_logits(
        logits.movedim(1, -1)[known], target[known], gamma=2.5
    )
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
    torch.testing.assert_close(*(torch.autograd.grad(one, logits)[0] for one in (ours, theirs)))


def test_dice_is_that_of_segmentation_models():
    losses = pytest.importorskip("segmentation_models_pytorch.losses")
    logits, target = batch()
    logits.requires_grad_()
    for weights in (None, torch.tensor([1.0, 2.0, 0.5])):
        ours = value_of(LOSSES.parse("dice"), logits, target, weights)
        given = None if weights is None else weights.tolist()
        theirs = losses.DiceLoss("multiclass", ignore_index=255, class_weights=given)(
            logits, target
        )
        assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
        torch.testing.assert_close(*(torch.autograd.grad(one, logits)[0] for one in (ours, theirs)))


def test_the_mean_of_dice_leaves_out_classes_without_a_label():
    logits = torch.zeros(1, 3, 1, 4)
    target = torch.tensor([[[0, 0, 0, 255]]])
    assert value_of(LOSSES.parse("dice"), logits, target) == pytest.approx(1 - 2 * 1 / (1 + 3))


def test_a_saturated_prediction_has_a_finite_gradient():
    logits = torch.tensor([[[[80.0, -80.0]], [[-80.0, 80.0]]]], requires_grad=True)
    for settings in EVERY:
        for target in ([[[0, 1]]], [[[1, 0]]]):
            value_of(LOSSES.parse(settings), logits, torch.tensor(target)).backward()
            assert logits.grad.isfinite().all()


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ("focl", "did you mean 'focal'"),
        ({"kind": "focal", "gama": 3}, "gamma"),
        ({"kind": "focal", "gamma": 0.5}, "greater than or equal to 1"),
        ({"gamma": 2}, "its kind is missing"),
    ],
)
def test_wrong_settings_are_refused(loss, words):
    with pytest.raises(ConfigError, match=words):
        parse_config({"train": {"loss": loss}}, source="test")


def test_the_final_recipe_may_have_another_loss():
    config = parse_config(
        {"train": {"loss": "dice"}, "final": {"train": {"loss": {"kind": "focal"}}}}, source="test"
    )
    assert config.with_recipe(config.final.recipe).train.loss.kind == "focal"
    assert config.train.loss.of_guess(4) == 0.75
    assert LOSSES.parse("cross_entropy").of_guess(4) == pytest.approx(math.log(4))
