"""Choose what a checkpoint holds: the whole network, or only the trained part of a frozen one."""

import torch
from torch import nn

FROZEN_PREFIX = "backbone."
"""How the names of a backbone's layers begin in its network."""


def is_split(network: nn.Module) -> bool:
    """Return whether a network takes feature maps instead of images: its backbone is frozen."""
    return bool(getattr(network, "is_frozen", False))


def in_frozen_backbone(network: nn.Module, name: str) -> bool:
    """Return whether a layer or state of this name belongs to the backbone of a frozen network."""
    return is_split(network) and f"{name}.".startswith(FROZEN_PREFIX)


def trained_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the state dict for a checkpoint, without the backbone if it is frozen."""
    state = dict(network.state_dict())
    return {key: value for key, value in state.items() if not in_frozen_backbone(network, key)}


def load_trained(network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Load a state dict of `trained_state`, or a whole one.

    Raises:
        RuntimeError: keys are missing or unexpected, as of `nn.Module.load_state_dict`.
    """
    missing, unexpected = network.load_state_dict(state, strict=False)
    lost = [key for key in missing if not in_frozen_backbone(network, key)]
    if lost or unexpected:
        raise RuntimeError(f"missing keys: {lost}; unexpected keys: {unexpected}")
