"""Identity of processes, which does not change when the machine's clock is set."""

import functools
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """Return values that name this process in a file.

    `host` and `pid` are for people, `machine` and `ticks` for `is_running`.
    """
    return {
        "host": socket.gethostname(),
        "machine": machine_id(),
        "pid": os.getpid(),
        "ticks": start_ticks(os.getpid()),
    }


def is_running(process: Mapping[str, Any]) -> bool | None:
    """Return whether the process that `this_process` described still runs.

    None if that cannot be known from this machine.
    """
    if process.get("host") != socket.gethostname() or process.get("machine") != machine_id():
        return None
    pid, ticks = process.get("pid"), process.get("ticks")
    return isinstance(pid, int) and ticks is not None and start_ticks(pid) == ticks


@functools.cache
def machine_id() -> str:
    """Return a name of this machine since it last booted, and of its space of process numbers.

    Host names may be equal on two machines, and containers of one machine number their processes
    separately: process numbers can be compared only if this value is equal. It is empty on systems
    other than Linux.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # no Linux
        return ""
    return f"{boot} {process_space()}"


@functools.cache
def process_space() -> str:
    """Return a name of the space of process numbers on this machine; empty if it is no Linux.

    It outlives a boot where processes are in no container.
    """
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def start_ticks(pid: int) -> float | None:
    """Return when a process of this machine started; None if no such process runs.

    It distinguishes a process from a later one with the same number. On Linux it is a count of
    clock ticks since the machine booted. A time of day would not do: two readings of it differ if
    the clock was set between them.
    """
    if not os.path.exists("/proc/self/stat"):
        return _create_time(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name of the program comes before, in brackets, and may hold anything.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in ("Z", "X") else float(fields[18])


def _create_time(pid: int) -> float | None:
    import psutil  # only systems other than Linux need it, and it takes time to import

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return None
