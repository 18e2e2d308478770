"""Find the layers at which classification networks of torchvision are cut, and wrap the result."""

from collections.abc import Callable

import torch
from torch import nn

PROBE_SIDE = 128
"""Height and width, in pixels, of the image that strides are measured with."""
STRIDES = (4, 8, 16, 32)
MAX_NAMES = 12
"""How many names of layers a message offers at most."""


def last_layers(network: nn.Module) -> tuple[str, ...]:
    """Return the last layer of each stride of 4, 8, 16 and 32 that a network has.

    A layer counts if it holds a convolution that sees more than one pixel, which the 1x1
    convolutions before a classifier do not; and if it halves its input at most once, which a whole
    network does not.

    Returns:
        Names of layers, from fine to coarse; none if the network takes images of other sizes only,
        so the strides are not known.
    """
    found: dict[int, str] = {}
    handles = [
        module.register_forward_hook(_note_stride(name, found))
        for name, module in network.named_modules()
        if name
    ]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, PROBE_SIDE, PROBE_SIDE))
    except (RuntimeError, AssertionError, ValueError):
        found.clear()
    finally:
        for handle in handles:
            handle.remove()
        network.train(was_training)
    return tuple(found[stride] for stride in sorted(found))


def _note_stride(
    name: str, found: dict[int, str]
) -> Callable[[nn.Module, tuple[object, ...], object], None]:
    """Return a hook that notes a layer as the last one of its stride, if it counts."""

    def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        before, after = _stride(inputs[0] if inputs else None), _stride(output)
        if before is None or after not in STRIDES:
            return
        if before * 2 >= after and _sees_neighbours(module):
            found[after] = name

    return hook


def _stride(value: object) -> int | None:
    """Return how many times smaller than the image a map is; None for anything else."""
    if not isinstance(value, torch.Tensor) or value.ndim != 4:
        return None
    height, width = value.shape[2:]
    if height != width or not height:
        return None
    stride, rest = divmod(PROBE_SIDE, height)
    return stride if rest == 0 else None


def _sees_neighbours(module: nn.Module) -> bool:
    return any(
        isinstance(layer, nn.Conv2d) and max(layer.kernel_size) > 1 for layer in module.modules()
    )


def some_layers(network: nn.Module) -> str:
    """Return the names of a few layers, for messages."""
    names = [name for name, _ in network.named_modules() if name and name.count(".") < 2]
    return ", ".join(names[:MAX_NAMES])


class MapExtractor(nn.Module):
    """Returns the maps of a feature extractor as a tuple, from fine to coarse.

    Args:
        extractor: returns a dict of maps.
    """

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.extractor = extractor

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return maps (N, c, h, w) of images (N, 3, H, W)."""
        return tuple(self.extractor(images).values())
