"""Pretrained weights of backbones from files."""

import io

import torch
from torch import nn

from ray_al.core.errors import ConfigError
from ray_al.core.reading import ABSENT, read_uri


def load_backbone_state(network: nn.Module, uri: str) -> None:
    """Load a state dict into `network`.

    Names may differ where packages name the same layers otherwise: tensors are then matched in their
    order, each with the same last part of its name and the same shape. Keys of the classifier may be
    missing.

    Raises:
        ConfigError: no such file, no state dict, or one of another network.
    """
    try:
        data = read_uri(uri)
    except ABSENT:
        raise ConfigError(f"model.weights {uri!r}: no such file; give a state dict's path") from None
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    own = {key: value for key, value in network.state_dict().items() if not key.startswith("classifier")}
    renamed = {}
    for (key, value), (other, given) in zip(own.items(), state.items(), strict=True):
        if value.shape != given.shape or key.rsplit(".", 1)[-1] != other.rsplit(".", 1)[-1]:
            raise ConfigError(f"model.weights {uri!r}: {other} does not fit {key}; give weights of this network")
        renamed[key] = given
    network.load_state_dict(renamed, strict=False)
