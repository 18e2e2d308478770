"""The first convolution of networks for another number of channels than three."""

import pytest
import torch
from torch import nn

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.models.build import build_backbone, build_model, check_model
from ray_al.models.channels import inflated, widen


def model_of(**settings):
    return parse_config({"name": "x", "model": settings}, source="test").model


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_an_image_of_equal_channels_gives_what_it_gave_before(count):
    before, grey = nn.Conv2d(3, 5, 3), torch.rand(1, 1, 6, 7)
    after = nn.Conv2d(count, 5, 3)
    with torch.no_grad():
        after.weight.copy_(inflated(before.weight, count))
        after.bias.copy_(before.bias)
    assert torch.allclose(
        before(grey.expand(1, 3, 6, 7)), after(grey.expand(1, count, 6, 7)), atol=1e-5
    )
    if count > 3:
        assert torch.allclose(after.weight[:, :3], before.weight * 3 / count)


def test_networks_are_built_for_the_number_of_channels():
    for name in ("lraspp_mobilenet_v3_large", "fcn_resnet50"):
        network = build_model(model_of(name=name), 2, 5).eval()
        assert network(torch.rand(1, 5, 64, 64)).shape[:2] == (1, 2)


def test_weights_of_three_channels_and_of_all_channels_load(tmp_path):
    three, five = (build_model(model_of(), 2, count) for count in (3, 5))
    for source in (three, five):
        path = tmp_path / "model.pt"
        torch.save(source.state_dict(), path)
        network = build_model(model_of(weights=str(path)), 2, 5)
        first = next(iter(network.parameters()))
        given = next(iter(source.parameters()))
        wanted = inflated(given, 5) if given.shape[1] == 3 else given
        assert torch.equal(first, wanted)


def test_a_frozen_random_backbone_is_the_same_each_time():
    model = model_of(frozen=True)
    first, second = (build_backbone(model, 4).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    network = build_model(model, 2, 4)
    assert torch.equal(next(iter(network.backbone.parameters())), next(iter(first.values())))


def test_composed_networks_are_built_for_the_number_of_channels():
    backbone = {"kind": "torchvision", "name": "mobilenet_v2"}
    model = model_of(kind="composed", backbone=backbone, frozen=False)
    network = build_model(model, 2, 4).eval()
    assert network(torch.rand(1, 4, 64, 64)).shape[:2] == (1, 2)
    check_model(model, 2, (64, 64), 4)


def with_channels(in_channels: int, num_classes: int) -> nn.Module:
    return nn.Conv2d(in_channels, num_classes, 1)


def of_three_channels(num_classes: int) -> nn.Module:
    return nn.Conv2d(3, num_classes, 1)


def test_networks_of_other_packages_are_told_or_refused():
    check_model(model_of(name=f"{__name__}:with_channels"), 2, (64, 64), 4)
    with pytest.raises(ConfigError, match=r"64 x 64 image of 4 channels \(data.channels\)"):
        check_model(model_of(name=f"{__name__}:of_three_channels"), 2, (64, 64), 4)


def test_a_network_without_a_first_convolution_of_three_channels_is_refused():
    with pytest.raises(ConfigError, match="data.channels: 4 channels cannot enter"):
        widen(nn.Linear(3, 2), 4, pretrained=False)
