"""What the training loop needs from the other workers."""

from typing import Any, Protocol

import torch


class Comm(Protocol):
    """Collective calls; every worker makes the same ones in the same order."""

    rank: int
    world_size: int

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum of every worker's `tensor`."""

    def broadcast(self, value: Any) -> Any:
        """Rank 0's `value`, on every worker."""

    def barrier(self) -> None:
        """Wait for every worker."""


class LocalComm:
    """One worker alone."""

    rank = 0
    world_size = 1

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    def broadcast(self, value: Any) -> Any:
        return value

    def barrier(self) -> None:
        return None


class TorchComm:
    """The workers of torch's default process group."""

    def __init__(self) -> None:
        import torch.distributed as dist

        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        import torch.distributed as dist

        total = tensor.clone()
        dist.all_reduce(total)
        return total

    def broadcast(self, value: Any) -> Any:
        import torch.distributed as dist

        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def barrier(self) -> None:
        import torch.distributed as dist

        dist.barrier()
