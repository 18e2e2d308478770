"""Connect to Ray if a run needs it: to an existing cluster, or to a local one started for it.

Functions import Ray themselves: it takes a second to load, and many commands do without it.
"""

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from ray_al.core.config import RunConfig
from ray_al.core.errors import ClusterError, ConfigError, Interrupted
from ray_al.driver.resources import check_fits, living_nodes

NAMESPACE = "ray_al"
ANSWER_S = 5.0
"""Time limit for a head to accept a connection, and again to answer."""
HTTP2_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""The frame with which HTTP/2 exchanges settings, without any; the fourth byte is its type."""
HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HTTP2_SETTINGS
START_S = 120.0
"""Time limit for Ray to start on this machine, even on a busy one."""
KEPT = 8
"""Processes that a private cluster keeps, in addition to one per CPU."""
ATTACH_S = 20.0
"""Time limit to attach to a cluster."""


def needs_ray(config: RunConfig) -> bool:
    """Return whether anything of the run works outside the calling process."""
    return (
        config.cluster.host == "actor" or config.train.workers != 0 or config.scoring.workers != 0
    )


@contextlib.contextmanager
def connect(
    config: RunConfig,
    *,
    num_cpus: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[None]:
    """Connect to Ray for the duration of the block, if `config` needs it.

    Args:
        num_cpus: CPUs of a local cluster, if one is started.
        should_stop: asked while Ray starts.

    Raises:
        ConfigError: RAY_ADDRESS is not the address of a head that answers, or the run does not fit
            into the cluster.
        ClusterError: Ray cannot be started here, or the cluster cannot be used.
        Interrupted: `should_stop` returned True.
    """
    with connection(num_cpus=num_cpus, should_stop=should_stop) as link:
        link.start(config)()
        yield


@contextlib.contextmanager
def connection(
    *, num_cpus: int | None = None, should_stop: Callable[[], bool] = lambda: False
) -> Iterator["Connection"]:
    """Yield a connection that ends with the block; takes the arguments of `connect`."""
    link = Connection(num_cpus, should_stop)
    try:
        yield link
    finally:
        link.close()


class Connection:
    """Connects in a thread of its own, so a command can do other work while Ray starts."""

    def __init__(self, num_cpus: int | None, should_stop: Callable[[], bool]) -> None:
        self.num_cpus, self.should_stop = num_cpus, should_stop
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._done, self._closed = threading.Event(), threading.Event()

    def start(self, config: RunConfig) -> Callable[[], None]:
        """Begin to connect, if `config` needs it and nothing is connected yet.

        Returns:
            A function that waits for the connection and checks that the run fits into the cluster.

        Raises:
            ConfigError: RAY_ADDRESS is not the address of a head that answers.
        """
        if not needs_ray(config):
            return lambda: None
        import ray

        if not ray.is_initialized():
            check_address(os.environ.get("RAY_ADDRESS", ""))
            self._thread = threading.Thread(
                target=self._init, args=(config,), daemon=True, name="ray-al-connect"
            )
            self._thread.start()
        return lambda: self._wait(config)

    def close(self) -> None:
        """End what `start` began."""
        if self._thread is None:
            return
        import ray

        if self._done.wait(0 if self._error is not None else START_S):
            ray.shutdown()
        self._closed.set()
        self._thread = None

    def _init(self, config: RunConfig) -> None:
        try:
            init_ray(self.num_cpus or config.cluster.num_cpus or max(4, os.cpu_count() or 1))
        except BaseException as error:  # raised by the thread that waits
            self._error = error
        self._done.set()
        # Linux ends the processes of a local cluster together with the thread that started them.
        self._closed.wait()

    def _wait(self, config: RunConfig) -> None:
        if self._thread is not None:
            limit = ATTACH_S if os.environ.get("RAY_ADDRESS") else START_S
            deadline = time.monotonic() + limit
            while not self._done.wait(0.1) and time.monotonic() < deadline:
                if self.should_stop():
                    raise Interrupted("interrupted while Ray started")
            if self._error is None and not self._done.is_set():
                self._error = TimeoutError(f"no connection within {limit:.0f} s")
            if self._error is not None:
                raise _explained(self._error) from self._error
        check_fits(config)


def check_address(address: str) -> None:
    """Refuse a RAY_ADDRESS at which no head answers; Ray itself tries for minutes.

    Raises:
        ConfigError: it is not the address of a head, or nothing answers there.
    """
    if address in ("", "local", "auto"):
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise ConfigError(
            f"RAY_ADDRESS={address}: give the address of the cluster's head as HOST:PORT (the port "
            "of `ray start --head`, 6379 unless set); ray:// and http:// are not supported here. "
            "From outside a cluster, use `ray job submit`"
        )
    if (reason := _refusal(address)) is not None:
        raise ConfigError(
            f"RAY_ADDRESS={address}: no cluster answers there ({reason}); start it, give another "
            "address, or unset RAY_ADDRESS to use this machine"
        )


def _refusal(address: str) -> str | None:
    """Return why no head answers at HOST:PORT; None if one does.

    A head speaks gRPC, so it answers the greeting of HTTP/2 with its settings. One that was stopped
    or hangs accepts a connection and stays silent.
    """
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S) as link:
            if os.environ.get("RAY_USE_TLS") == "1":
                return None  # the greeting would have to be encrypted
            link.sendall(HTTP2_GREETING)
            answer = link.recv(len(HTTP2_SETTINGS), socket.MSG_WAITALL)
    except TimeoutError:
        return f"no answer within {ANSWER_S:g} s"
    except (OSError, OverflowError) as error:
        return str(error)
    is_settings = answer[3:4] == HTTP2_SETTINGS[3:4]
    return None if is_settings else "what answers is no head of a Ray cluster"


def init_ray(num_cpus: int) -> None:
    """Attach to the cluster of `RAY_ADDRESS` or `ray start`, or else start a local one.

    It never attaches to the private cluster of another process, which would end with that process.

    Args:
        num_cpus: CPUs of the local cluster, if one is started.
    """
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    import ray

    # Ray warns on each start that tokens are on, and that a thread connects.
    logging.getLogger("ray").setLevel(logging.ERROR)
    options: dict[str, Any] = {
        "namespace": NAMESPACE,
        "log_to_driver": False,
        "logging_level": logging.ERROR,
    }
    # Ray ends idle processes beyond a limit within a second, but those of scorers are needed again,
    # with everything that they have read.
    keep = {"num_workers_soft_limit": num_cpus + KEPT}
    # The dashboard stays on: Train's clean-up of placement groups asks it for living controllers.
    local = {
        "num_cpus": num_cpus,
        "include_dashboard": True,
        "dashboard_port": 0,
        "_system_config": keep,
    }
    address = os.environ.get("RAY_ADDRESS") or find_started()
    if address in (None, "local"):
        # Saves a process: nobody preempts this machine's only node.
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
        ray.init(address="local", **local, **options)
        return
    use_token()
    ray.init(**options)


def is_private() -> bool:
    """Return whether this process started the cluster that it is connected to."""
    from ray._private.worker import global_worker

    return bool(global_worker.node is not None and global_worker.node.is_head())


def find_started() -> str | None:
    """Return the address of the cluster that `ray start` started on this machine.

    None if there is none, or if only the file with its address is left.
    """
    from ray._private.services import find_bootstrap_address

    address: str | None = find_bootstrap_address(None)
    return address if address and _refusal(address) is None else None


def use_token() -> None:
    """Show this user's token, if there is one, to the cluster that RAY_ADDRESS names.

    Ray does so by itself only if it finds the cluster without an address. A private cluster leaves
    a token in the home directory, the next `ray start --head` asks for it, and a client that gives
    that cluster's address is refused. A cluster without tokens ignores one.
    """
    from ray._private.authentication.authentication_token_setup import (
        maybe_enable_token_auth_if_token_available,
    )

    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def _explained(error: BaseException) -> ClusterError:
    """Put an error of Ray into one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    where = os.environ.get("RAY_ADDRESS")
    start = (
        f"RAY_ADDRESS={where}: the cluster cannot be used"
        if where
        else "Ray cannot be started here"
    )
    token = (
        "; a cluster that asks for a token wants its own: compare ~/.ray/auth_token (or "
        "RAY_AUTH_TOKEN) with the head's, and RAY_AUTH_MODE"
    )
    return ClusterError(f"{start}: {text}{token if where else ''}")


class HeadWatch:
    """Asks the cluster's head, in a thread of its own, whether it still knows this process's node.

    A head that is gone does not answer, and a head that was restarted without its memory does not
    know earlier nodes. Ray waits for either in silence.
    """

    INTERVAL_S = 5.0

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._last = time.monotonic()
        self._thread = threading.Thread(target=self._ask, daemon=True, name="ray-al-head")

    def __enter__(self) -> "HeadWatch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()

    def gone_s(self) -> float:
        """Return the seconds since the head last answered, or 0 if it answers."""
        seconds = time.monotonic() - self._last
        return seconds if seconds > 2 * self.INTERVAL_S else 0.0

    def _ask(self) -> None:
        import ray

        own = ray.get_runtime_context().get_node_id()
        while not self._stopped.wait(self.INTERVAL_S):
            # Whatever this raises, the head has not answered.
            with contextlib.suppress(Exception):
                if any(node["NodeID"] == own for node in living_nodes()):
                    self._last = time.monotonic()
