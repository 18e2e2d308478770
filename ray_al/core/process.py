"""Which process something belongs to, told in a way that no step of the machine's clock changes."""

import functools
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """What names this process in a file: `host` and `pid` for people, `machine` and `ticks` for `is_running`."""
    return {
        "host": socket.gethostname(),
        "machine": machine_id(),
        "pid": os.getpid(),
        "ticks": start_ticks(os.getpid()),
    }


def is_running(process: Mapping[str, Any]) -> bool | None:
    """Whether the process that `this_process` once described still runs; None where that cannot be told from this machine."""
    if process.get("host") != socket.gethostname() or process.get("machine") != machine_id():
        return None
    pid, ticks = process.get("pid"), process.get("ticks")
    return isinstance(pid, int) and ticks is not None and start_ticks(pid) == ticks


@functools.cache
def machine_id() -> str:
    """Tells machines apart that have the same host name, and one machine before and after it was started anew.

    Process numbers mean the same to two processes only where this value is equal; containers of one machine number their processes apart.
    """
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # no Linux
        return ""


def start_ticks(pid: int) -> float | None:
    """When a process of this machine started; None where no such process runs. Tells a process from a later one of the same number.

    On Linux these are clock ticks since the machine started. The time of day would not do: it is worked out from the clock, and two readings
    of it differ where the clock was set between them.
    """
    if not os.path.exists("/proc/self/stat"):
        return _create_time(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[
        2
    ].split()  # the name before it, in brackets, may hold anything
    return None if state in ("Z", "X") else float(fields[18])


def _create_time(pid: int) -> float | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return None
