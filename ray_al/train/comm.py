"""Communication between the workers that train together."""

from typing import Protocol, TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


class Comm(Protocol):
    """Collective operations. Every worker must call the same ones in the same order."""

    rank: int
    world_size: int

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the sum of the tensors of all workers."""

    def broadcast(self, value: T) -> T:
        """Return the value of rank 0, on every worker."""

    def barrier(self) -> None:
        """Wait until every worker has called this."""


class LocalComm:
    """A single worker without others to communicate with."""

    rank = 0
    world_size = 1

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """As `Comm.sum`."""
        return tensor

    def broadcast(self, value: T) -> T:
        """As `Comm.broadcast`."""
        return value

    def barrier(self) -> None:
        """As `Comm.barrier`."""


class TorchComm:
    """The workers of torch's default process group."""

    def __init__(self) -> None:
        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """As `Comm.sum`."""
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    def broadcast(self, value: T) -> T:
        """As `Comm.broadcast`; values are pickled."""
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def barrier(self) -> None:
        """As `Comm.barrier`."""
        dist.barrier()
