import copy
import functools
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from helpers.networks import Foreign
from torch import nn

from ray_al.core.errors import ConfigError
from ray_al.core.model import ModelConfig
from ray_al.models import build_model
from ray_al.models.features import FeatureNetwork, feature_layer
from ray_al.scoring.prepare import prepare_network


class Branches(Foreign):
    """Cannot be traced."""

    def forward(self, images):
        return super().forward(images if images.mean() > 1e9 else images + 1)


def build(name: str) -> nn.Module:
    """A network that may be changed, with statistics that are not those of a fresh one."""
    model = copy.deepcopy(_built(name))
    torch.manual_seed(0)
    return model


@functools.cache
def _built(name: str) -> nn.Module:
    torch.manual_seed(0)
    model = build_model(
        ModelConfig(name=f"{__name__}:{name}" if name[0].isupper() else name), 3
    ).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    return model


def hooked(
    model: nn.Module, layer: nn.Module, images: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and a layer's output, by the most obvious way."""
    seen = []
    handle = layer.register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    with torch.inference_mode():
        logits = model(images)
    handle.remove()
    return logits, seen[0]


def check(name: str, layer: str | None, side: int = 64) -> torch.Tensor:
    model, images = build(name), torch.randn(2, 3, side, side)
    chosen = feature_layer(model, layer)
    logits, features = hooked(model, getattr(model, "network", model).get_submodule(chosen), images)
    network = prepare_network(FeatureNetwork(model, chosen), "fp32", "cpu")
    with torch.inference_mode():
        fast_logits, fast_features = network(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(fast_logits, logits, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(fast_features, features, rtol=1e-4, atol=1e-4)
    return features


@pytest.mark.parametrize(
    ("name", "layer", "num_channels"),
    [
        ("lraspp_mobilenet_v3_large", None, 128),
        ("lraspp_mobilenet_v3_large", "backbone", 960),
        ("lraspp_mobilenet_v3_large", "classifier.cbr.0", 128),
        ("deeplabv3_mobilenet_v3_large", None, 256),
    ],
)
def test_prepared_mobilenets_give_the_plain_networks_features(name, layer, num_channels):
    assert check(name, layer).shape[:2] == (2, num_channels)


@pytest.mark.parametrize(
    ("name", "num_channels"), [("fcn_resnet50", 512), ("deeplabv3_resnet50", 256)]
)
def test_prepared_resnets_give_the_plain_networks_features(name, num_channels):
    assert check(name, None, 32).shape[1] == num_channels


@pytest.mark.parametrize("name", ["Foreign", "Branches"])
@pytest.mark.parametrize("layer", ["conv", "norm", "act"])
def test_layers_of_other_networks_though_what_follows_works_in_place(name, layer):
    features = check(name, layer)
    assert features.shape == (2, 6, 32, 32)
    assert (features.min() >= 0) == (layer == "act")


def test_default_layers_are_what_the_last_convolution_reads():
    assert feature_layer(build("lraspp_mobilenet_v3_large"), None) == "classifier.cbr"
    model = build("deeplabv3_mobilenet_v3_large")
    assert feature_layer(model, None) == "classifier.3"
    seen = []
    model.classifier[4].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    with torch.inference_mode():
        _, features = FeatureNetwork(model, "classifier.3")(torch.randn(1, 3, 64, 64))
    assert torch.equal(features, seen[0])


def test_the_backbones_features_are_its_last_output():
    model, images = build("lraspp_mobilenet_v3_large"), torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        expected = model.backbone(images)["high"]
        network = FeatureNetwork(model, feature_layer(model, "backbone"))
        assert torch.equal(network(images)[1], expected)


@pytest.mark.parametrize("precision", ["bf16", "reference"])
def test_other_precisions(precision):
    model, images = build("lraspp_mobilenet_v3_large"), torch.randn(2, 3, 64, 64)
    logits, features = hooked(model, model.classifier.cbr, images)
    network = prepare_network(FeatureNetwork(model, "classifier.cbr"), precision, "cpu")
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    with torch.inference_mode():
        found = network(images.contiguous(memory_format=torch.channels_last))
    assert found[1].dtype == dtype
    spread = {"bf16": 0.1, "reference": 1e-4}[precision] * features.abs().max()
    torch.testing.assert_close(found[1].float(), features, rtol=0, atol=float(spread))
    assert found[0].shape == logits.shape


def test_features_are_not_kept_between_batches():
    network = prepare_network(FeatureNetwork(build("Foreign"), "act"), "fp32", "cpu")
    first, second = torch.randn(1, 3, 8, 8), torch.randn(1, 3, 8, 8)
    with torch.inference_mode():
        kept = network(first)[1]
        copy = kept.clone()
        assert not torch.equal(network(second)[1], kept)
        assert torch.equal(kept, copy)


def test_threads_do_not_take_each_others_features():
    network = prepare_network(FeatureNetwork(build("Foreign"), "act"), "fp32", "cpu")
    images = torch.randn(16, 1, 3, 8, 8)
    with torch.inference_mode():
        expected = [network(image)[1] for image in images]

    @torch.inference_mode()
    def features(number: int) -> torch.Tensor:
        return network(images[number % len(images)])[1]

    with ThreadPoolExecutor(4) as executor:
        for number, found in enumerate(executor.map(features, range(10 * len(images)))):
            assert torch.equal(found, expected[number % len(images)])


def test_layers_that_cannot_be_used_are_refused():
    model = build("Foreign")
    with pytest.raises(
        ConfigError,
        match=(
            "strategy.feature_layer: none is known for .*; name one of it, such as conv, "
            "norm, act, head"
        ),
    ):
        feature_layer(model, None)
    with pytest.raises(
        ConfigError,
        match="strategy.feature_layer: the network has no layer 'heat'; .* such as head",
    ):
        feature_layer(model, "heat")
    for prepared in (False, True):
        network: nn.Module = FeatureNetwork(build("Foreign"), "unused")
        network = prepare_network(network, "fp32", "cpu") if prepared else network
        with pytest.raises(ConfigError, match="does not call 'unused'"):
            network(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ConfigError, match="the output of 'backbone' is a OrderedDict"):
        FeatureNetwork(build("lraspp_mobilenet_v3_large"), "backbone")(torch.zeros(1, 3, 64, 64))
