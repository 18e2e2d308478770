"""Give memory that a process no longer needs back to the system."""

import ctypes
import functools
from collections.abc import Callable
from typing import Any


def return_unused_memory() -> None:
    """Return the pages that glibc keeps after arrays are freed; elsewhere nothing happens.

    Each thread frees arrays of some megabytes into a heap of its own, which otherwise keeps them
    for later: over a cycle of training and scoring, more than a gigabyte.
    """
    trim = _trim_of_glibc()
    if trim is not None:
        trim(0)


@functools.cache
def _trim_of_glibc() -> Callable[[int], Any] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # no glibc; Windows knows no library of None
        return None
