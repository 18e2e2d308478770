"""Weights and optimizers as bytes."""

import hashlib
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


def seal(data: bytes) -> bytes:
    """`data` with its digest before it, for a file that no event names."""
    return hashlib.sha256(data).digest() + data


def unseal(sealed: bytes) -> bytes | None:
    """What was sealed; None where the file was damaged since."""
    size = hashlib.sha256().digest_size
    digest, data = sealed[:size], sealed[size:]
    return data if hashlib.sha256(data).digest() == digest else None


def make_optimizer(
    model: nn.Module, train: TrainConfig, learning_rate: float
) -> torch.optim.Optimizer:
    """The optimizer that `train` names."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if train.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr=learning_rate, momentum=train.momentum, weight_decay=train.weight_decay
        )
    kind = torch.optim.Adam if train.optimizer == "adam" else torch.optim.AdamW
    return kind(parameters, lr=learning_rate, weight_decay=train.weight_decay)
