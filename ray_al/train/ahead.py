"""The next step's batch, made while a GPU computes this one's."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch

from ray_al.train.inputs import Batch


class BatchesAhead:
    """Batches by the number of their step, one of them ahead of the step that is computed.

    On a CPU the thread that makes them would take its cores from the step.

    Args:
        make: from a step's number to its batch; called in this order, by one thread at a time.
        device: that computes the steps.
    """

    def __init__(self, make: Callable[[int], Batch], device: torch.device) -> None:
        self.make = make
        is_ahead = device.type == "cuda"
        self._executor = (
            ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,))
            if is_ahead
            else None
        )
        self._begun: dict[int, Future[Batch]] = {}

    def get(self, step: int, total: int) -> Batch:
        """The batch of `step`; that of the next one begins to be made, if there is one before `total`.

        Raises:
            DataError: an image of it cannot be used.
            ReadError: one could not be read just now.
        """
        future = self._begun.pop(step, None)
        batch = self.make(step) if future is None else future.result()
        if self._executor is not None and step + 1 < total:
            self._begun[step + 1] = self._executor.submit(self.make, step + 1)
        return batch

    def __enter__(self) -> "BatchesAhead":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait for what is being made."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
