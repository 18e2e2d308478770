"""The state of an unfinished training, from which a restarted worker continues."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ray_al.core.storage import Storage
from ray_al.train.comm import Comm
from ray_al.train.state import dump, parse, seal, unseal

Key = list[object]
"""Plain values that identify a training; equal keys mean that one continues the other."""


@dataclass(frozen=True, kw_only=True)
class PartialState:
    """An unfinished training.

    Attributes:
        key: identifies the training.
        step: number of steps that are done.
        losses: step and loss of each step.
        label_losses: loss on the labelled pixels of each step.
        settled: `Length.settled`.
        model: trained part of the network's state dict.
        optimizer: state dict of the optimizer.
        snapshots: files of the snapshots so far, by their names.
        best: fields of `Best`; None if the last weights are kept.
    """

    key: Key
    step: int
    losses: list[tuple[int, float]]
    label_losses: list[float]
    settled: int | None
    model: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    snapshots: dict[str, bytes]
    best: dict[str, Any] | None = None


class PartialCheckpoint:
    """Saves the state of an unfinished training from time to time, and loads it.

    Args:
        storage: the run directory.
        path: path of the file, relative to the run directory.
        comm: communication with the other workers; rank 0 alone reads and writes.
        interval_s: shortest time between two saves, in seconds.
    """

    def __init__(self, storage: Storage, path: str, comm: Comm, interval_s: float) -> None:
        self.storage = storage
        self.path = path
        self.comm = comm
        self.interval_s = interval_s
        self._saved_at = time.monotonic()

    def save_if_due(self, make_state: Callable[[], PartialState]) -> None:
        """Save the state on rank 0 if the interval has passed."""
        if self.comm.rank or time.monotonic() - self._saved_at < self.interval_s:
            return
        self.storage.replace(self.path, seal(dump(dict(vars(make_state())))))
        self._saved_at = time.monotonic()

    def load(self, key: Key) -> PartialState | None:
        """Return the saved state on every worker.

        Returns:
            None if there is none, if it is damaged, or if it belongs to another training; the cycle
            is then trained from its start.
        """
        sealed = self.storage.read_if_there(self.path) if self.comm.rank == 0 else None
        data = self.comm.broadcast(None if sealed is None else unseal(sealed))
        if data is None:
            return None
        values = parse(data)
        if values["key"] != key:
            return None
        losses = [(int(step), float(loss)) for step, loss in values.pop("losses")]
        return PartialState(losses=losses, **values)
