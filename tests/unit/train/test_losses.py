import pytest
import torch
import torch.nn.functional as F

from ray_al.train.losses import consistency_loss, cross_entropy_sum, split_pair


def test_sum_and_count_over_labelled_pixels_only():
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    target = torch.randint(0, 3, (2, 4, 4), generator=torch.Generator().manual_seed(1))
    target[0, :2] = 255
    total, count = cross_entropy_sum(logits, target)
    assert count == 24
    assert total / count == pytest.approx(
        F.cross_entropy(logits, target, ignore_index=255).item(), rel=1e-6
    )


def test_no_labelled_pixel_gives_zero_and_zero_gradient():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    total, count = cross_entropy_sum(logits, torch.full((1, 4, 4), 255))
    total.backward()
    assert total == 0
    assert count == 0
    assert logits.grad.eq(0).all()


def test_class_weights_scale_their_class():
    logits = torch.zeros(1, 2, 1, 2)
    target = torch.tensor([[[0, 1]]])
    plain, _ = cross_entropy_sum(logits, target)
    weighted, _ = cross_entropy_sum(logits, target, torch.tensor([1.0, 3.0]))
    assert weighted == pytest.approx(2 * plain.item())


def test_consistency_pulls_each_to_the_other():
    a, b = torch.tensor([1.0], requires_grad=True), torch.tensor([3.0], requires_grad=True)
    loss = consistency_loss(a, b)
    loss.backward()
    assert loss == 8
    assert (a.grad.item(), b.grad.item()) == (-4, 4)


def test_a_symmetric_network_is_consistent():
    model = torch.nn.Conv2d(3, 2, 1)
    images = torch.rand(2, 3, 4, 6)
    a, b = split_pair(model(torch.cat([images, images.flip(3)])))
    assert torch.allclose(a, b, atol=1e-6)
