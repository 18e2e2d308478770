"""Networks of a backbone and a head: frozen parts, checkpoints, and the head on its own."""

import copy
import functools

import pytest
import torch
from torch import nn

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.model import ComposedConfig, ModelConfig
from ray_al.core.variants import Backbone
from ray_al.models import (
    FeatureNetwork,
    build_backbone,
    build_model,
    check_model,
    dropout_pass,
    dropout_places,
    feature_layer,
    load_trained,
    trained_state,
    with_dropout,
)
from ray_al.models.weights import load_backbone_state
from ray_al.scoring.passes.networks import StochasticNetwork
from ray_al.scoring.prepare import prepare_network


class TwoConvolutions(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, width, 3, 4, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.second = nn.Sequential(
            nn.Conv2d(width, 2 * width, 3, 2, 1), nn.BatchNorm2d(2 * width), nn.ReLU()
        )

    def forward(self, images):
        fine = self.first(images)
        return fine, self.second(fine)


class Tiny(Backbone):
    width: int = 4

    def build(self, weights: str) -> nn.Module:
        module = TwoConvolutions(self.width)
        if weights not in ("none", "backbone"):
            load_backbone_state(module, weights)
        return module


TINY = f"{__name__}:Tiny"


def model_of(**model):
    """A composed model of the tiny backbone, some of its settings changed."""
    return parse_config(
        {"model": {"kind": "composed", "backbone": {"kind": TINY}, **model}}, source="test"
    ).model


KINDS = {
    "composed": {"kind": "composed", "backbone": {"kind": TINY}},
    "lraspp": {"name": "lraspp_mobilenet_v3_large", "frozen": True},
    "deeplab": {"name": "deeplabv3_mobilenet_v3_large", "frozen": True},
}


@functools.cache
def built(kind: str) -> tuple[ModelConfig | ComposedConfig, nn.Module]:
    config = parse_config({"model": KINDS[kind]}, source="test").model
    torch.manual_seed(1)
    return config, build_model(config, 3)


@pytest.fixture(params=list(KINDS))
def frozen(request):
    """A frozen model of each kind, its configuration and the network."""
    config, network = built(request.param)
    torch.manual_seed(1)
    return config, copy.deepcopy(network)


def test_a_frozen_backbone_keeps_weights_and_statistics_whatever_the_mode(frozen):
    config, network = frozen
    assert config.is_frozen
    assert network.is_frozen
    assert all(
        parameter.requires_grad != name.startswith("backbone.")
        for name, parameter in network.named_parameters()
    )
    before = {name: value.clone() for name, value in network.backbone.state_dict().items()}
    network.train()
    assert not any(module.training for module in network.backbone.modules())
    network(torch.rand(2, 3, 64, 64)).sum().backward()
    assert all(
        torch.equal(value, before[name]) for name, value in network.backbone.state_dict().items()
    )


def test_maps_in_place_of_images_give_the_same_logits(frozen):
    _, network = frozen
    images = torch.rand(2, 3, 60, 90)
    with torch.inference_mode():
        maps, expected = network.eval().maps(images), network(images)
        assert torch.equal(network(maps), expected)
        assert torch.equal(network.head_network()(maps), expected)


def test_the_backbone_alone_gives_the_same_maps_whatever_the_seed_of_the_head(frozen):
    config, network = frozen
    torch.manual_seed(2)
    other, images = build_model(config, 3).eval(), torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        for one, again, alone in zip(
            network.eval().maps(images),
            other.maps(images),
            build_backbone(config).eval()(images),
            strict=True,
        ):
            assert torch.equal(one, again)
            assert torch.equal(one, alone)
    assert any(
        not torch.equal(value, trained_state(other)[name])
        for name, value in trained_state(network).items()
    )


def test_a_checkpoint_holds_the_head_alone_and_brings_the_network_back(frozen):
    config, network = frozen
    state = trained_state(network)
    assert state
    assert not any(name.startswith("backbone.") for name in state)
    torch.manual_seed(3)
    other = build_model(config, 3, load_weights=False)
    load_trained(other, state)
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(other.eval()(images), network.eval()(images))
    with pytest.raises(RuntimeError, match="missing keys"):
        load_trained(other, dict(list(state.items())[1:]))
    with pytest.raises(RuntimeError, match="unexpected keys"):
        load_trained(other, {**state, "more": torch.zeros(1)})


def test_a_trained_networks_checkpoint_holds_everything():
    network = build_model(model_of(frozen=False), 3)
    assert set(trained_state(network)) == set(network.state_dict())
    assert all(parameter.requires_grad for parameter in network.parameters())
    with pytest.raises(RuntimeError, match="missing keys: .*backbone"):
        load_trained(
            network,
            {
                name: value
                for name, value in network.state_dict().items()
                if name.startswith("head")
            },
        )


@pytest.mark.parametrize("precision", ["fp32", "bf16", "reference"])
def test_the_head_alone_can_be_prepared_and_gives_the_features_of_the_whole(frozen, precision):
    _, network = frozen
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        maps, expected = network.eval().maps(images), network(images)
        for layer in (None, "backbone"):
            tapped = FeatureNetwork(network, feature_layer(network, layer))
            whole = tapped(images)[1]
            tapped.model = network.head_network()
            logits, features = prepare_network(tapped, precision, "cpu")(maps)
            tolerance = 0.05 if precision == "bf16" else 1e-4
            torch.testing.assert_close(logits.float(), expected, rtol=tolerance, atol=tolerance)
            torch.testing.assert_close(
                features.float(), whole, rtol=tolerance, atol=tolerance * float(whole.abs().max())
            )
            if layer == "backbone":
                torch.testing.assert_close(whole, maps[-1])


def test_dropout_lies_in_the_head_and_its_passes_start_from_the_maps(frozen):
    _, network = frozen
    places = dropout_places(network)
    assert not any(place.startswith("backbone") for place in places)
    for module in (
        network.head_network().modules()
    ):  # as if trained: signals of random weights fade on their way
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.fill_(1e-3)
    with_dropout(network.eval(), None, 0.5)
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        maps = network.maps(images)
        stochastic = StochasticNetwork(prepare_network(network.head_network(), "fp32", "cpu"), 0, 1)
        assert stochastic.split is not None
        prefix = stochastic.prefix(maps)
        passes = [stochastic.suffix(prefix, number) for number in range(3)]
        with dropout_pass(0, 1, 2):
            assert (passes[2] - network(images)).abs().max() <= 1e-3 * passes[2].abs().max()
    assert not torch.equal(passes[0], passes[1])


def test_a_layer_of_a_frozen_backbone_is_refused(frozen):
    _, network = frozen
    name = next(
        name
        for name, module in network.named_modules()
        if name.startswith("backbone.") and not list(module.children())
    )
    for use in (lambda: feature_layer(network, name), lambda: with_dropout(network, [name], 0.5)):
        with pytest.raises(ConfigError, match="frozen backbone.*name a layer of the head, such as"):
            use()


def test_the_first_stages_keep_their_weights_and_the_rest_learns():
    network = build_model(model_of(frozen=1), 3).train()
    assert not network.is_frozen
    assert {
        name for name, parameter in network.named_parameters() if not parameter.requires_grad
    } == {f"backbone.first.{name}" for name in ("0.weight", "0.bias", "1.weight", "1.bias")}
    assert not any(module.training for module in network.backbone.first.modules())
    assert all(module.training for module in network.backbone.second.modules())
    before = network.backbone.first[1].running_mean.clone()
    network(torch.rand(2, 3, 32, 32)).sum().backward()
    assert torch.equal(network.backbone.first[1].running_mean, before)
    assert set(trained_state(network)) == set(network.state_dict())
    with pytest.raises(ConfigError, match="model.frozen: 2; the backbone gives 2 maps"):
        build_model(model_of(frozen=2), 3)


def test_a_network_of_another_package_cannot_be_frozen():
    model = parse_config(
        {"model": {"name": "torch.nn:Identity", "frozen": True}}, source="test"
    ).model
    with pytest.raises(
        ConfigError,
        match="model.frozen: torch.nn:Identity is a whole network .*package.module:Class",
    ):
        check_model(model, 3)
