import math

import numpy as np
import pytest
import torch

from ray_al.core.errors import ConfigError
from ray_al.datasets.bits import bits_of_ids, check_num_classes, fill_bits
from ray_al.train.losses import cross_entropy_sum
from ray_al.train.partial import partial_cross_entropy_sum, prototype_loss_sum


def random_logits(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 3


def random_bits(*shape, num_classes, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 2**num_classes, shape))


def probabilities(logits):
    exps = [math.exp(value - max(logits)) for value in logits]
    return [value / sum(exps) for value in exps]


def slow_partial(logits_NCHW, bits_NHW):
    total, count = 0.0, 0
    n, c, h, w = logits_NCHW.shape
    for i, y, x in np.ndindex(n, h, w):
        p = probabilities(logits_NCHW[i, :, y, x].tolist())
        inside = [p[k] for k in range(c) if int(bits_NHW[i, y, x]) >> k & 1]
        if inside:
            total -= math.log(sum(inside))
            count += 1
    return total, count


def slow_prototypes(logits_NCHW, regions_NHW, bits_NHW):
    best: dict[tuple[int, int, int], float] = {}
    n, c, h, w = logits_NCHW.shape
    for i, y, x in np.ndindex(n, h, w):
        classes = [k for k in range(c) if int(bits_NHW[i, y, x]) >> k & 1]
        if regions_NHW[i, y, x] < 0 or len(classes) < 2:
            continue
        p = probabilities(logits_NCHW[i, :, y, x].tolist())
        for k in classes:
            name = (i, int(regions_NHW[i, y, x]), k)
            best[name] = max(best.get(name, 0.0), p[k])
    return -sum(map(math.log, best.values())), len(best)


def region_case(seed, num_classes=5):
    """Two images with the same region numbers, some regions of one class, some of none."""
    rng = np.random.default_rng(seed)
    regions = rng.integers(-1, 4, (2, 6, 7)).astype(np.int32)
    sets = rng.choice(np.array([0, 1, 2, 3, 5, 7, 22, 31]), size=(2, 4))
    bits = np.where(
        regions >= 0,
        np.take_along_axis(sets, regions.reshape(2, -1).clip(0), 1).reshape(regions.shape),
        0,
    )
    return (
        random_logits(2, num_classes, 6, 7, seed=seed),
        torch.from_numpy(regions),
        torch.from_numpy(bits),
    )


def test_bits_of_ids():
    bits = bits_of_ids(np.array([[0, 1, 255], [62, 5, 0]], np.uint8))
    assert bits.dtype == np.int64
    assert bits.tolist() == [[1, 2, 0], [2**62, 32, 1]]
    assert bits_of_ids(np.full((2, 2), 255, np.uint8)).tolist() == [[0, 0], [0, 0]]


def test_fill_bits():
    bits = fill_bits(np.array([[True, False], [True, True]]), (3, 0, 3))
    assert bits.dtype == np.int64
    assert bits.tolist() == [[9, 0], [9, 9]]
    assert fill_bits(np.ones((1, 2), bool), ()).tolist() == [[0, 0]]
    assert fill_bits(np.ones((1, 1), bool), range(63)).tolist() == [[2**63 - 1]]


def test_more_classes_than_bits_are_refused():
    check_num_classes(63, "classes")
    with pytest.raises(ConfigError, match=r"label.kind=classes .* at most 63; there are 64"):
        check_num_classes(64, "classes")
    with pytest.raises(ConfigError, match="there are 64"):
        bits_of_ids(np.array([[0, 63]], np.uint8))
    with pytest.raises(ConfigError, match="label.kind=classes .* there are 101"):
        fill_bits(np.ones((1, 1), bool), (1, 100))


@pytest.mark.parametrize("seed", range(3))
def test_partial_loss_against_a_loop(seed):
    logits, bits = (
        random_logits(2, 4, 5, 3, seed=seed),
        random_bits(2, 5, 3, num_classes=4, seed=seed),
    )
    total, count = partial_cross_entropy_sum(logits, bits)
    expected, labelled = slow_partial(logits, bits)
    assert total.item() == pytest.approx(expected, rel=1e-12)
    assert count == labelled < 30


def test_one_class_is_cross_entropy_in_value_and_gradient():
    ids = np.random.default_rng(0).choice(np.array([0, 1, 2, 255], np.uint8), size=(2, 5, 6))
    results = []
    for loss, target in [
        (partial_cross_entropy_sum, bits_of_ids(ids)),
        (cross_entropy_sum, ids.astype(np.int64)),
    ]:
        logits = random_logits(2, 3, 5, 6, dtype=torch.float32).requires_grad_()
        total, count = loss(logits, torch.from_numpy(target))
        total.backward()
        results.append((total.detach(), count, logits.grad))
    for ours, reference in zip(*results, strict=True):
        assert torch.allclose(ours, reference, rtol=1e-5, atol=1e-6)


def test_by_hand():
    logits = torch.log(torch.tensor([0.5, 0.3, 0.2])).view(1, 3, 1, 1)
    assert partial_cross_entropy_sum(logits, torch.tensor([[[0b110]]]))[0].item() == pytest.approx(
        -math.log(0.5)
    )
    assert partial_cross_entropy_sum(logits, torch.tensor([[[0b111]]]))[0].item() == 0


def test_no_label_gives_zero_and_zero_gradient():
    logits = random_logits(1, 3, 2, 2).requires_grad_()
    none = torch.zeros(1, 2, 2, dtype=torch.int64)
    for total, count in (
        partial_cross_entropy_sum(logits, none),
        prototype_loss_sum(logits, none.int() - 1, none),
    ):
        logits.grad = None
        total.backward()
        assert (total.item(), count.item()) == (0, 0)
        assert logits.grad.eq(0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_hopeless_pixels_have_finite_loss_and_gradient(dtype):
    logits = (
        torch.tensor([1000.0, -1000.0, -1000.0, 0.0], dtype=dtype)
        .view(1, 4, 1, 1)
        .expand(1, 4, 1, 2)
        .clone()
        .requires_grad_()
    )
    bits = torch.full((1, 1, 2), 0b0110)
    for total, _ in (
        partial_cross_entropy_sum(logits, bits),
        prototype_loss_sum(logits, torch.zeros(1, 1, 2, dtype=torch.int32), bits),
    ):
        logits.grad = None
        total.backward()
        assert total.dtype == torch.float32
        assert total.item() == pytest.approx(4000, rel=1e-3)
        assert logits.grad is not None
    assert logits.grad.isfinite().all() and logits.grad[0, 0].gt(0).any()


def test_pixels_without_a_label_may_be_anything():
    logits = random_logits(1, 3, 1, 2)
    logits[..., 1] = torch.nan
    total, count = partial_cross_entropy_sum(logits, torch.tensor([[[3, 0]]]))
    assert total.isfinite() and count == 1


def test_gradcheck():
    logits = random_logits(1, 3, 2, 3).requires_grad_()
    bits = torch.tensor([[[1, 3, 0], [7, 6, 6]]])
    regions = torch.tensor([[[0, 1, 2], [1, 3, 3]]], dtype=torch.int32)
    assert torch.autograd.gradcheck(lambda z: partial_cross_entropy_sum(z, bits)[0], logits)
    assert torch.autograd.gradcheck(lambda z: prototype_loss_sum(z, regions, bits)[0], logits)


@pytest.mark.parametrize("seed", range(10))
def test_prototypes_against_a_loop(seed):
    logits, regions, bits = region_case(seed)
    total, count = prototype_loss_sum(logits, regions, bits)
    expected, pairs = slow_prototypes(logits, regions, bits)
    assert total.item() == pytest.approx(expected, rel=1e-12)
    assert count == pairs


def test_prototypes_by_hand():
    p = torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8]])
    logits = p.log().T.reshape(1, 3, 1, 3)
    regions = torch.tensor([[[4, 4, 9]]], dtype=torch.int32)
    total, count = prototype_loss_sum(logits, regions, torch.tensor([[[0b011, 0b011, 0b100]]]))
    assert total.item() == pytest.approx(-math.log(0.7) - math.log(0.4))
    assert count == 2


def test_only_the_first_of_equal_pixels_is_pushed():
    logits = torch.zeros(1, 3, 2, 2, requires_grad=True)
    prototype_loss_sum(logits, torch.zeros(1, 2, 2, dtype=torch.int32), torch.full((1, 2, 2), 3))[
        0
    ].backward()
    assert logits.grad.abs().sum((0, 1)).nonzero().tolist() == [[0, 0]]


def test_images_do_not_mix_and_their_batch_does_not_matter():
    logits, regions, bits = region_case(3)
    whole = prototype_loss_sum(logits, regions, bits)
    parts = [
        prototype_loss_sum(logits[i : i + 1], regions[i : i + 1], bits[i : i + 1]) for i in range(2)
    ]
    assert whole[0].item() == pytest.approx(sum(part[0].item() for part in parts), rel=1e-12)
    assert whole[1] == sum(part[1] for part in parts)


def test_class_weights_of_a_set_are_the_mean_of_its_classes():
    logits = torch.randn(1, 3, 1, 2, generator=torch.Generator().manual_seed(0))
    weights = torch.tensor([1.0, 3.0, 5.0])
    for bits, factor in ((2, 3.0), (6, 4.0)):
        plain, _ = partial_cross_entropy_sum(logits, torch.tensor([[[bits, 0]]]))
        weighted, count = partial_cross_entropy_sum(logits, torch.tensor([[[bits, 0]]]), weights)
        assert weighted.item() == pytest.approx(factor * plain.item())
        assert count == 1
