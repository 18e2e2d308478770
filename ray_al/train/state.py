"""Weights and optimizers as bytes."""

import io
from typing import Any

import torch
from torch import nn

from ray_al.core.config import TrainConfig


def to_cpu(value: Any) -> Any:
    """`value` with every tensor in it on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: to_cpu(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_cpu(item) for item in value)
    return value


def dump(value: Any) -> bytes:
    """A checkpoint file: equal values give equal bytes."""
    buffer = io.BytesIO()
    torch.save(to_cpu(value), buffer)
    return buffer.getvalue()


def parse(data: bytes) -> Any:
    """What `dump` wrote, tensors on the CPU; runs no code from the file."""
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def make_optimizer(model: nn.Module, train: TrainConfig, learning_rate: float) -> torch.optim.Optimizer:
    """The optimizer that `train` names."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if train.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=learning_rate, momentum=train.momentum, weight_decay=train.weight_decay)
    kind = torch.optim.Adam if train.optimizer == "adam" else torch.optim.AdamW
    return kind(parameters, lr=learning_rate, weight_decay=train.weight_decay)
