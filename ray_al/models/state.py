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


NEVER = -1e4
"""Logit of a class that a model has not learnt; its probability is 0 at every precision."""


def load_trained(
    network: nn.Module, state: dict[str, torch.Tensor], *, learns_classes: bool = False
) -> None:
    """Load a state dict of `trained_state`, or a whole one.

    A run may have got further classes since the model was trained. The layers that give logits then
    have further outputs, after those of the classes that the model knows.

    Args:
        learns_classes: whether the network is trained next, so that these outputs begin as they
            were drawn; otherwise it never predicts the classes that it does not know.

    Raises:
        RuntimeError: keys are missing or unexpected, as of `nn.Module.load_state_dict`.
    """
    own = network.state_dict()
    state = {
        key: _with_outputs(value, own[key], learns_classes) if key in own else value
        for key, value in state.items()
    }
    missing, unexpected = network.load_state_dict(state, strict=False)
    lost = [key for key in missing if not in_frozen_backbone(network, key)]
    if lost or unexpected:
        raise RuntimeError(f"missing keys: {lost}; unexpected keys: {unexpected}")


def _with_outputs(known: torch.Tensor, own: torch.Tensor, learns_classes: bool) -> torch.Tensor:
    """Return a stored tensor with the first dimension of the network's own.

    Args:
        known: as it is stored.
        own: the tensor of the network, whose first dimension may be longer.
        learns_classes: whether further entries are the network's own; otherwise weights are 0, and
            biases `NEVER`.
    """
    is_longer = known.ndim and known.shape[1:] == own.shape[1:] and len(known) < len(own)
    if not is_longer:
        return known
    further = own[len(known) :].detach().cpu().clone()
    if not learns_classes:
        further.fill_(NEVER if known.ndim == 1 else 0.0)
    return torch.cat([known.cpu(), further.to(known.dtype)])


def add_outputs(optimizer: torch.optim.Optimizer) -> None:
    """Give the loaded state of an optimizer zeros for outputs that its network got since."""
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            is_shorter = isinstance(value, torch.Tensor) and 0 < value.ndim == parameter.ndim
            if is_shorter and len(value) < len(parameter):
                further = torch.zeros_like(parameter[len(value) :], dtype=value.dtype)
                values[name] = torch.cat([value, further])
