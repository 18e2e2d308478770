"""What of a network a checkpoint holds: all of it, or of a frozen one what is trained."""

from typing import Any

import torch
from torch import nn

FROZEN_PREFIX = "backbone."


def is_split(network: nn.Module) -> bool:
    """Whether a network takes feature maps in place of images, its backbone being frozen."""
    return bool(getattr(network, "is_frozen", False))


def trained_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """The state dict of a checkpoint; without the backbone where it is frozen."""
    state = dict(network.state_dict())
    return {
        key: value
        for key, value in state.items()
        if not (is_split(network) and key.startswith(FROZEN_PREFIX))
    }


def load_trained(network: nn.Module, state: dict[str, Any]) -> None:
    """Load what `trained_state` gave, or a whole state dict."""
    missing, unexpected = network.load_state_dict(state, strict=False)
    lost = [key for key in missing if not (is_split(network) and key.startswith(FROZEN_PREFIX))]
    if lost or unexpected:
        raise RuntimeError(f"missing keys: {lost}; unexpected keys: {unexpected}")
