"""Hold a run, so a second driver fails early.

A lease is advisory: what keeps a run safe are the numbers of its journal's events.
"""

import json
import logging
import secrets
import threading
import time
from typing import Any

from ray_al.core.errors import RunHeldError, StorageError
from ray_al.core.process import is_running, this_process
from ray_al.core.run_dir import RunDir
from ray_al.core.storage import Storage

NAME = RunDir.LEASE
HEARTBEAT_S = 5.0
STALE_S = 20.0
"""How long a heartbeat of another machine is watched before its process counts as dead."""
GRACE_S = 3.0
"""Time limit for a process that is being ended."""
LOOK_S = 1.0
CLOSE_S = 5.0
TRIES = 5
"""Attempts to take a lease that other processes try to take, too."""
HELD = "holds this run; follow it with `ray-al status`, or end it before resuming"

logger = logging.getLogger(__name__)


class Lease:
    """Held from `acquire` to `release`; a thread renews it, so it ends with its process.

    Args:
        name: the file that names the holder; a run has other leases too, as for its final training.
        held: what the holder does and what others can do, for the message to others.
    """

    def __init__(self, storage: Storage, name: str = NAME, *, held: str = HELD) -> None:
        self.storage, self.name, self.held = storage, name, held
        self.holder = {**this_process(), "token": secrets.token_hex(8)}
        self._stopped = threading.Event()
        self._beats = 0
        self._failing = False
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def acquire(self, *, patience_s: float = 0.0) -> "Lease":
        """Take the lease.

        Args:
            patience_s: how long to wait for a holder to end.

        Raises:
            RunHeldError: a living process holds it; nothing was written.
        """
        deadline = time.monotonic() + patience_s
        while True:
            try:
                self._take()
                break
            except RunHeldError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.2)
        self._thread.start()
        return self

    def release(self) -> None:
        """Release the lease, unless another process has taken it over in the meantime."""
        self._stopped.set()
        self._thread.join(CLOSE_S)
        try:
            if self._is_ours():
                self.storage.remove(self.name)
        except (StorageError, OSError) as error:  # must not hide how the work ended
            logger.warning("%s: not given back: %s", self.storage.uri(self.name), error)

    def __enter__(self) -> "Lease":
        return self

    def __exit__(self, *raised: object) -> None:
        self.release()

    def _take(self) -> None:
        for _ in range(TRIES):
            try:
                self.storage.create(self.name, self._content())
                return
            except FileExistsError:
                self._remove_dead()
        raise RunHeldError(
            f"{self.storage.root}: several processes try to take it at the same moment; try again"
        )

    def _remove_dead(self) -> None:
        """Remove the lease of a holder that is gone.

        Raises:
            RunHeldError: the holder lives.
        """
        before = self.storage.read_if_there(self.name)
        if before is None:  # released since
            return
        holder = _holder(before)
        if _is_alive(self.storage, self.name, before, holder):
            process = f"process {holder.get('pid')} on {holder.get('host')}"
            raise RunHeldError(f"{self.storage.root}: {process} {self.held}")
        # If the file has changed, another process was faster; that one is looked at next.
        if self.storage.read_if_there(self.name) == before:
            self.storage.remove(self.name)

    def _renew(self) -> None:
        while not self._stopped.wait(HEARTBEAT_S):
            try:
                if not self._is_ours():
                    logger.warning(
                        "%s: another process has taken this over", self.storage.uri(self.name)
                    )
                    return
                self._write()
                self._failing = False
            # Storage fails in many ways, and mostly for a while: the next beat may succeed.
            except Exception as error:
                if not self._failing:
                    logger.warning(
                        "%s: the heartbeat fails, and is tried again: %s",
                        self.storage.uri(self.name),
                        error,
                    )
                self._failing = True

    def _is_ours(self) -> bool:
        """Return whether the file names no other holder.

        A missing or damaged file is written again.
        """
        holder = _holder(self.storage.read_if_there(self.name))
        return not holder or holder.get("token") == self.holder["token"]

    def _write(self) -> None:
        self._beats += 1
        self.storage.replace(self.name, self._content())

    def _content(self) -> bytes:
        return json.dumps({**self.holder, "beats": self._beats}).encode()


def is_held(storage: Storage, name: str = NAME) -> bool | None:
    """Return whether a living process holds a lease; None if only its own machine can tell."""
    content = storage.read_if_there(name)
    return False if content is None else is_running(_holder(content))


def _holder(content: bytes | None) -> dict[str, Any]:
    """Return the holder that `content` names; empty if it cannot be read."""
    try:
        holder = json.loads(content or b"")
    except (ValueError, RecursionError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _is_alive(storage: Storage, name: str, before: bytes, holder: dict[str, Any]) -> bool:
    """Return whether the holder lives.

    A process of this machine is looked up. The heartbeat of another machine is watched for a while,
    because the clocks of two machines cannot be compared.
    """
    if is_running(holder) is not None:
        return _outlives_grace(holder)
    logger.warning(
        "%s: watched for up to %.0f s, whether its holder lives", storage.uri(name), STALE_S
    )
    deadline = time.monotonic() + STALE_S
    while time.monotonic() < deadline:
        time.sleep(LOOK_S)
        now = storage.read_if_there(name)
        if now != before:
            return now is not None
    return False


def _outlives_grace(holder: dict[str, Any]) -> bool:
    """Return whether the process outlives the moment that Ray takes to end a driver actor.

    A driver actor is ended after its submitter was killed.
    """
    deadline = time.monotonic() + GRACE_S
    while is_running(holder):
        if time.monotonic() > deadline:
            return True
        time.sleep(0.1)
    return False
