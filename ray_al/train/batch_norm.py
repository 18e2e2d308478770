"""Running statistics of batch normalisation after the last step."""

from collections.abc import Iterable

import torch
from torch import nn

from ray_al.models import set_batch_norm_momentum
from ray_al.models.state import trained_state
from ray_al.train.comm import Comm
from ray_al.train.inputs import Inputs, as_float


def reestimate_statistics(
    model: nn.Module, batches: Iterable[Inputs], momentum: float | None
) -> None:
    """Replace the running statistics of a network by averages over batches.

    Args:
        model: the network; it is put into training mode. The statistics of a frozen backbone, which
            stays in evaluation mode, are left alone.
        batches: inputs of the forward passes.
        momentum: momentum of the layers afterwards; None averages over all batches.
    """
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            module.reset_running_stats()
    set_batch_norm_momentum(model, None)
    with torch.no_grad():
        for inputs in batches:
            model(as_float(inputs))
    set_batch_norm_momentum(model, momentum)


def average_buffers(model: nn.Module, comm: Comm) -> None:
    """Average the trained floating-point buffers of a network over the workers."""
    if comm.world_size == 1:
        return
    trained = trained_state(model)
    for name, buffer in model.named_buffers():
        if buffer.is_floating_point() and name in trained:
            buffer.copy_(comm.sum(buffer) / comm.world_size)
