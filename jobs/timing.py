"""Timing that several benchmarks share."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

Work = Callable[[], object]


def timed(function: Work) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def pass_seconds(
    forward: Work, *, repeats: int, threads: int, worker_threads: int, on_gpu: bool
) -> float:
    """Return the seconds of `repeats` forward passes in each of `worker_threads` threads at a time.

    Each thread makes one pass before that, which does not count.

    Args:
        forward: makes one pass.
        threads: threads of torch in each worker thread.
        on_gpu: whether to wait for the GPU at the end.
    """

    @torch.inference_mode()
    def work(_: int) -> None:
        for _ in range(repeats):
            forward()
        if on_gpu:
            torch.cuda.synchronize()

    ready = threading.Barrier(worker_threads)

    @torch.inference_mode()
    def warm(_: int) -> None:
        forward()
        ready.wait()  # so that each thread makes one: cuDNN keeps its plans per thread

    prepare = torch.set_num_threads
    with ThreadPoolExecutor(worker_threads, initializer=prepare, initargs=(threads,)) as executor:
        list(executor.map(warm, range(worker_threads)))
        return timed(lambda: list(executor.map(work, range(worker_threads))))
