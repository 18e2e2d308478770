"""Weights and optimizers, and their files."""

import hashlib
import io
from typing import Any

import torch
from torch import nn

from ray_al.core.config import TrainConfig


def to_cpu(value: Any) -> Any:
    """Return a copy of nested dicts, lists and tuples with every tensor on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: to_cpu(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_cpu(item) for item in value)
    return value


def dump(value: Any) -> bytes:
    """Return the bytes of a checkpoint file; equal values give equal bytes."""
    buffer = io.BytesIO()
    torch.save(to_cpu(value), buffer)
    return buffer.getvalue()


def parse(data: bytes) -> Any:
    """Return the value that `dump` wrote, with tensors on the CPU; no code of the file is run."""
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def seal(data: bytes) -> bytes:
    """Return `data` with its digest in front, for a file whose digest is in no event."""
    return hashlib.sha256(data).digest() + data


def unseal(sealed: bytes) -> bytes | None:
    """Return the data that was sealed, or None if it was damaged since."""
    size = hashlib.sha256().digest_size
    digest, data = sealed[:size], sealed[size:]
    return data if hashlib.sha256(data).digest() == digest else None


def make_optimizer(
    model: nn.Module, train: TrainConfig, learning_rate: float
) -> torch.optim.Optimizer:
    """Return the optimizer that `train.optimizer` names, for the trainable parameters."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if train.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr=learning_rate, momentum=train.momentum, weight_decay=train.weight_decay
        )
    kind = torch.optim.Adam if train.optimizer == "adam" else torch.optim.AdamW
    return kind(parameters, lr=learning_rate, weight_decay=train.weight_decay)
