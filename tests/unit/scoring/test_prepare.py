import pytest
import torch
from helpers.networks import Wrapped, small
from torch import nn

from ray_al.core.model import ModelConfig
from ray_al.models import build_model
from ray_al.models.dropout import PassDropout, with_dropout
from ray_al.models.foreign import ForeignSegmenter
from ray_al.scoring.prepare import prepare_network


def wrapped(num_classes: int) -> nn.Module:
    return Wrapped()


@pytest.mark.parametrize(
    "name", ["lraspp_mobilenet_v3_large", f"{small.__module__}:small", f"{__name__}:wrapped"]
)
def test_folding_and_fusing_do_not_change_the_logits(name):
    model = build_model(ModelConfig(name=name), 3).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    images = torch.randn(2, 3, 48, 64)
    with torch.inference_mode():
        expected = model(images)
        fast = prepare_network(model, "fp32", "cpu")
        torch.testing.assert_close(fast(images), expected, rtol=1e-3, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fast.modules())
    assert not any(
        isinstance(module, nn.Conv2d | nn.Hardswish)
        for module in fast.modules()
        if module in used(fast)
    )


def test_a_dropout_stays_one_call_and_all_else_is_folded_and_fused_around_it():
    model = with_dropout(
        build_model(ModelConfig(name="lraspp_mobilenet_v3_large"), 3).eval(),
        ["classifier.cbr", "backbone.2"],
        0.5,
    )[0]
    called = used(prepare_network(model, "fp32", "cpu"))
    assert [module.name for module in called if isinstance(module, PassDropout)] == [
        "backbone.2",
        "classifier.cbr",
    ]
    assert not any(
        isinstance(module, nn.BatchNorm2d | nn.Conv2d | nn.Hardswish) for module in called
    )


def used(model):
    """The modules that a traced network calls."""
    graph = model.network if isinstance(model, ForeignSegmenter) else model
    modules = dict(graph.named_modules())
    return [modules[node.target] for node in graph.graph.nodes if node.op == "call_module"]


def test_a_shared_convolution_keeps_both_of_its_activations():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.relu, self.sigmoid = (
                nn.Conv2d(3, 3, 3, padding=1),
                nn.ReLU(),
                nn.Sigmoid(),
            )

        def forward(self, images):
            return self.relu(self.conv(images)) + self.sigmoid(self.conv(images))

    model, images = Shared().eval(), torch.randn(1, 3, 8, 8)
    with torch.inference_mode():
        expected = model(images)
        torch.testing.assert_close(prepare_network(model, "fp32", "cpu")(images), expected)


def test_bf16_spares_the_narrow_layers_at_the_start():
    torch.manual_seed(0)
    network = prepare_network(
        build_model(ModelConfig(name="lraspp_mobilenet_v3_large"), 3).eval(), "bf16", "cpu"
    )
    exact = [name for name, layer in network.named_parameters() if layer.dtype == torch.float32]
    assert exact == [
        f"backbone.{layer}.{kind}"
        for layer in ("0.0", "1.block.0.0", "1.block.1.0")
        for kind in ("weight", "bias")
    ]
    with torch.inference_mode():
        assert network(torch.randn(2, 3, 48, 64)).dtype == torch.bfloat16


class Untraceable(nn.Module):
    """Its way depends on a value."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv(images) if images.sum() < torch.inf else images


class Skips(nn.Module):
    """Its images and a shape are read again behind the narrow start."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow, self.wide, self.last = (
            nn.Conv2d(3, 8, 1),
            nn.Conv2d(8, 32, 1, stride=2),
            nn.Conv2d(35, 3, 1),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        size = images.shape[-2:]
        wide = nn.functional.interpolate(self.wide(self.narrow(images)), size=size)
        return self.last(torch.cat([wide, images], dim=1))


@pytest.mark.parametrize("name", ["Untraceable", "Skips", "wrapped"])
def test_bf16_of_any_network(name):
    torch.manual_seed(0)
    model, images = (
        build_model(ModelConfig(name=f"{__name__}:{name}"), 3).eval(),
        torch.rand(2, 3, 48, 64),
    )
    with torch.inference_mode():
        expected = model(images)
        logits = prepare_network(model, "bf16", "cpu")(images)
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(
        logits.float(), expected, rtol=0.05, atol=0.05 * float(expected.abs().max())
    )


class Narrow(nn.Module):
    """A head of few channels, whose layers stay in fp32 and whose maps come in bf16."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(8, 3, 1), nn.Conv2d(8, 3, 1)

    def forward(self, maps: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        coarse = nn.functional.interpolate(self.coarse(maps[1]), size=maps[0].shape[-2:])
        return self.fine(maps[0]) + coarse


def test_narrow_heads_take_maps_in_bf16():
    torch.manual_seed(0)
    head, maps = Narrow().eval(), tuple(torch.rand(2, 8, side, side) for side in (8, 4))
    with torch.inference_mode():
        expected = head(maps)
        logits = prepare_network(head, "bf16", "cpu")(tuple(one.bfloat16() for one in maps))
    torch.testing.assert_close(logits.float(), expected, rtol=0.02, atol=0.02)
