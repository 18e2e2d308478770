"""A trained network made fast for scoring, without changing what is chosen."""

import logging
from pathlib import Path
from typing import Literal

import torch
from torch import fx, nn

from ray_al.models.build import ForeignSegmenter
from ray_al.models.features import FeatureNetwork
from ray_al.models.layers import replace_layer, root_of, trace

logger = logging.getLogger(__name__)
Precision = Literal["auto", "fp32", "bf16", "reference"]


def resolve_precision(precision: Precision) -> Literal["fp32", "bf16", "reference"]:
    """`auto` is bf16 where the processor computes in it, else fp32."""
    if precision != "auto":
        return precision
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return "bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "fp32"


def prepare_network(model: nn.Module, precision: Literal["fp32", "bf16", "reference"], device: torch.device | str) -> nn.Module:
    """Evaluation mode; unless `reference`: channels last, convolution and batch norm folded, bf16 weights where asked for.

    On a CPU the activation behind a convolution is computed with it: LR-ASPP at 360x480 then scores 1.6 times as fast.
    A `PassDropout` stays where it is, and so does the layer whose features a `FeatureNetwork` gives.
    """
    if isinstance(model, FeatureNetwork):
        model.model = prepare_network(model.model, precision, device)
        return model.eval()
    model = model.eval().to(device)
    if precision == "reference":
        return model
    model = _fold(model).to(memory_format=torch.channels_last)
    model = model.to(torch.bfloat16) if precision == "bf16" else model
    if torch.device(device).type == "cpu" and torch.backends.mkldnn.is_available():
        _fuse_for_cpu(root_of(model))
    return model


def _fold(model: nn.Module) -> nn.Module:
    from torch.fx.experimental.optimization import fuse

    try:
        if isinstance(model, ForeignSegmenter):  # what it does with the output's type cannot be traced
            model.network = fuse(trace(model.network), no_trace=True)
            return model
        return fuse(trace(model), no_trace=True)
    except Exception as error:  # whatever a network does that cannot be traced, it still scores, only slower
        logger.warning("batch norm is not folded, the network cannot be traced: %s", error)
        return model


ACTIVATIONS = {nn.ReLU: "relu", nn.Hardswish: "hardswish", nn.Sigmoid: "sigmoid"}


class _PointwiseConv(nn.Module):
    """A convolution and its activation in one pass over memory (oneDNN)."""

    def __init__(self, conv: nn.Conv2d, activation: str) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.settings = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups, activation)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(images, self.weight, self.bias, *self.settings, [], "")
        return output


class _GlobalMean(nn.Module):
    """Adaptive average pooling to 1x1 as a matrix product: in channels last and bf16 the usual one copies to float first."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        count, channels, height, width = images.shape
        flat = images.permute(0, 2, 3, 1).reshape(count, height * width, channels)
        weights = torch.full((count, 1, height * width), 1 / (height * width), dtype=images.dtype)
        return torch.bmm(weights, flat).reshape(count, channels, 1, 1)


def _fuse_for_cpu(model: nn.Module) -> None:
    """Change a traced network in place; one that could not be traced stays as it is."""
    if not isinstance(model, fx.GraphModule):
        return
    modules = dict(model.named_modules())
    calls = [node for node in model.graph.nodes if node.op == "call_module"]
    targets = [node.target for node in calls]
    for node in calls:
        module = modules[node.target]
        if targets.count(node.target) > 1:  # shared: its activations may differ
            continue
        if isinstance(module, nn.Conv2d) and module.padding_mode == "zeros" and not isinstance(module.padding, str):
            follower = next(iter(node.users)) if len(node.users) == 1 else None
            activation = ACTIVATIONS.get(type(modules[follower.target])) if follower is not None and follower.op == "call_module" else None
            replace_layer(model, node.target, _PointwiseConv(module, activation or "none"))
            if follower is not None and activation is not None:
                follower.replace_all_uses_with(node)
                model.graph.erase_node(follower)
        elif isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1)):
            replace_layer(model, node.target, _GlobalMean())
    model.recompile()
