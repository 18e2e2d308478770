"""Who holds a run. The journal's numbers are the safety; the lease only spares two drivers from finding out the hard way."""

import json
import os
import socket
import threading
import time
from typing import Any

from ray_al.core.errors import RunHeldError
from ray_al.core.storage import Storage

NAME = "lease.json"
HEARTBEAT_S = 5.0
STALE_S = 20.0
GRACE_S = 3.0


class Lease:
    """Held from `acquire` to `release`; renewed by a thread, so that it ends with its process."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.holder = {"host": socket.gethostname(), "pid": os.getpid(), "started": _process_start(os.getpid())}
        self._stopped = threading.Event()
        self._beats = 0
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def acquire(self) -> "Lease":
        """Take the run.

        Raises:
            RunHeldError: a living driver holds it.
        """
        if self.storage.exists(NAME) and _is_alive(self.storage):
            holder = _read(self.storage)
            raise RunHeldError(
                f"{self.storage.root}: the driver with process {holder['pid']} on {holder['host']} holds this run; "
                "follow it with `ray-al status`, or end it before resuming"
            )
        self._write()
        self._thread.start()
        return self

    def release(self) -> None:
        self._stopped.set()
        self._thread.join()
        self.storage.remove(NAME)

    def _renew(self) -> None:
        while not self._stopped.wait(HEARTBEAT_S):
            self._beats += 1
            self._write()

    def _write(self) -> None:
        self.storage.replace(NAME, json.dumps({**self.holder, "beats": self._beats}).encode())


def _read(storage: Storage) -> dict[str, Any]:
    return dict(json.loads(storage.read(NAME)))


def _is_alive(storage: Storage) -> bool:
    """On this host the process tells; elsewhere the heartbeat, watched for a while (clocks of two hosts are never compared)."""
    holder = _read(storage)
    if holder["host"] == socket.gethostname():
        return _outlives_grace(holder)
    deadline = time.monotonic() + STALE_S
    while time.monotonic() < deadline:
        time.sleep(1)
        if not storage.exists(NAME):
            return False
        if _read(storage) != holder:
            return True
    return False


def _outlives_grace(holder: dict[str, Any]) -> bool:
    """A driver actor whose submitter was killed takes Ray a moment to end."""
    deadline = time.monotonic() + GRACE_S
    while _process_start(holder["pid"]) == holder["started"]:
        if time.monotonic() > deadline:
            return True
        time.sleep(0.1)
    return False


def _process_start(pid: int) -> float | None:
    """When a process of this host started; None where there is no such process. Tells a process from a later one of the same number."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return None
