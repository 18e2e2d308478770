"""Give a network made for three channels a first convolution for another number of them."""

import copy

import torch
from torch import nn

from ray_al.core.errors import ConfigError
from ray_al.models.layers import replace_layer

RGB = 3


def first_convolution(network: nn.Module) -> tuple[str, nn.Conv2d] | None:
    """Return the convolution that images enter and its name, if there is one."""
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d):
            return (name, layer) if layer.groups == 1 else None
    return None


def widen(network: nn.Module, num_channels: int, *, pretrained: bool) -> None:
    """Let `num_channels` channels enter a network that was made for red, green and blue.

    Pretrained filters of red, green and blue go to the first three channels, and their mean to
    every other channel (with fewer than three channels, to all of them). All are multiplied by
    3 / `num_channels`, so an image whose channels are equal gives what it gave before. Without
    pretrained weights the filters are drawn as those of a new network are.

    Args:
        network: changed in place; one whose first convolution has as many channels stays as it is.
        num_channels: of the images.
        pretrained: whether the weights of the first convolution are worth keeping.

    Raises:
        ConfigError: the network does not begin with a convolution of three channels.
    """
    found = first_convolution(network)
    if num_channels == (RGB if found is None else found[1].in_channels):
        return
    if found is None or found[1].in_channels != RGB:
        raise ConfigError(
            f"data.channels: {num_channels} channels cannot enter this network, as it does not "
            "begin with a convolution of three channels; choose another model, or three channels"
        )
    name, old = found
    new = copy.deepcopy(old)
    new.in_channels = num_channels
    new.weight = nn.Parameter(
        inflated(old.weight.detach(), num_channels), requires_grad=old.weight.requires_grad
    )
    if not pretrained:
        # As torchvision draws the convolutions of its networks.
        nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    replace_layer(network, name, new)


def inflated(weight: torch.Tensor, num_channels: int) -> torch.Tensor:
    """Return the filters of red, green and blue as filters of `num_channels` channels.

    Args:
        weight: (outputs, 3, height, width).
        num_channels: of the images.

    Returns:
        (outputs, num_channels, height, width), by the rule of `widen`.
    """
    mean = weight.mean(dim=1, keepdim=True)
    if num_channels < RGB:
        filters = mean.repeat(1, num_channels, 1, 1)
    else:
        filters = torch.cat([weight, mean.repeat(1, num_channels - RGB, 1, 1)], dim=1)
    return filters * (RGB / num_channels)


def takes(network: nn.Module, state: dict[str, torch.Tensor]) -> int:
    """Return how many channels enter the network whose weights are in `state`.

    Args:
        network: with the same names of layers; its own number of channels may differ.
        state: tensors by their names.
    """
    found = first_convolution(network)
    weight = None if found is None else state.get(f"{found[0]}.weight")
    return RGB if weight is None or weight.ndim != 4 else weight.shape[1]
