"""Checkpoints of runs that have got further classes since."""

import torch
from torch import nn

from ray_al.models.state import add_outputs, load_trained


def network(num_classes):
    torch.manual_seed(num_classes)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, num_classes, 1))


def test_a_model_never_predicts_a_class_that_it_has_not_learnt():
    known, grown = network(3).eval(), network(5).eval()
    load_trained(grown, known.state_dict())
    images = torch.rand(2, 3, 8, 8)
    before, after = known(images), grown(images)
    torch.testing.assert_close(after[:, :3], before)
    assert torch.equal(after.softmax(1)[:, 3:], torch.zeros(2, 2, 6, 6))
    torch.testing.assert_close(after.softmax(1)[:, :3], before.softmax(1))


def test_further_outputs_are_trained_from_what_was_drawn():
    known, grown = network(3), network(5)
    drawn = {key: value.clone() for key, value in grown.state_dict().items()}
    load_trained(grown, known.state_dict(), learns_classes=True)
    for name in ("2.weight", "2.bias"):
        assert torch.equal(grown.state_dict()[name][:3], known.state_dict()[name])
        assert torch.equal(grown.state_dict()[name][3:], drawn[name][3:])


def test_the_state_of_an_optimizer_grows_with_zeros():
    known, grown = network(3), network(5)
    before, after = (torch.optim.Adam(one.parameters()) for one in (known, grown))
    known(torch.rand(1, 3, 8, 8)).sum().backward()
    before.step()
    after.load_state_dict(before.state_dict())
    add_outputs(after)
    last = after.state[grown[2].weight]["exp_avg"]
    assert torch.equal(last[:3], before.state[known[2].weight]["exp_avg"])
    assert not last[3:].any()
    grown(torch.rand(1, 3, 8, 8)).sum().backward()
    after.step()
