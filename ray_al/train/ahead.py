"""Prepare the batch of the next step while a GPU computes the current one."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch

from ray_al.train.inputs import Batch


class BatchesAhead:
    """Gives the batches of consecutive steps, on a GPU prepared one step ahead.

    On a CPU nothing is prepared ahead: the preparing thread would take cores away from the step.

    Args:
        make: makes the batch of a step from its number; called in the order of the steps, by one
            thread at a time.
        device: device that computes the steps.
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
        """Return the batch of `step`, and start to prepare the next one.

        Args:
            step: number of the step.
            total: number of steps, which limits what is prepared.

        Raises:
            DataError: an image of the batch cannot be used.
            ReadError: an image of the batch cannot be read at the moment.
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
        """Wait for the batch that is being prepared."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
