"""What glibc's allocator does with freed memory. With other C libraries nothing here has effect."""

import ctypes
import functools
import os
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Numbers of parameters in `malloc.h`."""
LARGEST_KEPT = 32 << 20
"""Size in bytes from which an array gets pages of its own; the largest that glibc allows."""
KEPT = 256 << 20
"""Bytes of freed memory that a process keeps; more at the end of its heap goes back."""
OWN_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


@functools.cache
def keep_freed_memory() -> bool:
    """Have this process keep the memory of freed arrays for its next ones.

    A network frees its activations after each step and asks for as much in the next. By default,
    glibc returns arrays of some megabytes to the system, which clears every page before it lends it
    again: more than a third of the time of a step of a small network
    (`jobs/bench_allocator.py`). Environment variables that set this themselves win.

    Returns:
        Whether glibc took the settings.
    """
    if any(os.environ.get(name) for name in OWN_SETTINGS):
        return False
    set_option = _function_of_glibc("mallopt")
    return set_option is not None and all(
        set_option(parameter, value)
        for parameter, value in ((_M_MMAP_THRESHOLD, LARGEST_KEPT), (_M_TRIM_THRESHOLD, KEPT))
    )


def return_unused_memory() -> None:
    """Return the pages that glibc keeps after arrays are freed.

    Each thread frees arrays of some megabytes into a heap of its own, which otherwise keeps them
    for later: over a cycle of training and scoring, more than a gigabyte.
    """
    trim = _function_of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


@functools.cache
def _function_of_glibc(name: str) -> Any:
    """Return a function of the C library of this process; None if it has none of that name."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):  # no glibc; Windows knows no library of None
        return None
