"""Where classification networks of torchvision are cut, and what is put around them."""

from typing import Any

import torch
from torch import nn

PROBE_SIDE = 128
STRIDES = (4, 8, 16, 32)


def last_layers(network: nn.Module) -> tuple[str, ...]:
    """The last layer of each stride of 4, 8, 16 and 32 that a network has, from fine to coarse.

    A layer counts that holds a convolution which looks beyond one pixel, so that the 1x1 convolutions
    before a classifier do not; and one that halves its input once at most, so that a whole network
    does not.
    """
    found: dict[int, str] = {}
    handles = []

    def look(name: str, module: nn.Module) -> Any:
        def hook(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            before, after = _stride(inputs[0] if inputs else None), _stride(output)
            if (
                after in STRIDES
                and before is not None
                and before * 2 >= after
                and _looks_around(module)
            ):
                found[after] = name

        return module.register_forward_hook(hook)

    handles = [look(name, module) for name, module in network.named_modules() if name]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, PROBE_SIDE, PROBE_SIDE))
    except (RuntimeError, AssertionError, ValueError):
        found.clear()  # it takes images of other sizes alone, of which the strides are not known
    finally:
        for handle in handles:
            handle.remove()
        network.train(was_training)
    return tuple(found[stride] for stride in sorted(found))


def _stride(value: Any) -> int | None:
    """How much smaller than the image a map is; None of anything else."""
    if (
        not isinstance(value, torch.Tensor)
        or value.ndim != 4
        or value.shape[2] != value.shape[3]
        or not value.shape[2]
    ):
        return None
    stride, rest = divmod(PROBE_SIDE, value.shape[2])
    return stride if rest == 0 else None


def _looks_around(module: nn.Module) -> bool:
    return any(
        isinstance(layer, nn.Conv2d) and max(layer.kernel_size) > 1 for layer in module.modules()
    )


def some_layers(network: nn.Module) -> str:
    """Names of a few layers, for messages."""
    names = [name for name, _ in network.named_modules() if name and name.count(".") < 2]
    return ", ".join(names[:12])


class MapExtractor(nn.Module):
    """A feature extractor whose maps come as a tuple, from fine to coarse."""

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.extractor = extractor

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Maps (N, c, h, w) of images (N, 3, H, W)."""
        return tuple(self.extractor(images).values())
