"""Ray where a run needs it: a cluster that is there is used, else a local one is started and stopped."""

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
"""How long a head may take to take a connection."""
START_S = 120.0
"""How long Ray may take to start on this machine, however busy it is."""
KEPT = 8
"""Processes of a private cluster that are kept beside one a CPU."""
ATTACH_S = 30.0
"""How long it may take to attach to a cluster."""


def needs_ray(config: RunConfig) -> bool:
    return config.cluster.host == "actor" or config.train.workers != 0 or config.score.workers != 0


@contextlib.contextmanager
def connect(
    config: RunConfig,
    *,
    num_cpus: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[None]:
    """Be connected to Ray inside, if `config` needs it.

    Args:
        num_cpus: of a local cluster that is started for it.
        should_stop: asked while Ray starts.

    Raises:
        ConfigError: the cluster's address cannot be used, or the run does not fit into the cluster.
        ClusterError: the cluster does not answer.
        Interrupted: `should_stop` said so.
    """
    with connection(num_cpus=num_cpus, should_stop=should_stop) as link:
        link.start(config)()
        yield


@contextlib.contextmanager
def connection(
    *, num_cpus: int | None = None, should_stop: Callable[[], bool] = lambda: False
) -> Iterator["Connection"]:
    """A connection that ends with the block; arguments as of `connect`."""
    link = Connection(num_cpus, should_stop)
    try:
        yield link
    finally:
        link.close()


class Connection:
    """Begins in a thread of its own, so that a command can do other work while Ray starts."""

    def __init__(self, num_cpus: int | None, should_stop: Callable[[], bool]) -> None:
        self.num_cpus, self.should_stop = num_cpus, should_stop
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._done, self._closed = threading.Event(), threading.Event()

    def start(self, config: RunConfig) -> Callable[[], None]:
        """Begin to connect, if `config` needs it and nothing is connected yet; what is returned waits and checks that the run fits.

        Raises:
            ConfigError, ClusterError: the address that RAY_ADDRESS names is none, or nothing answers there.
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
        self._closed.wait()  # Linux ends the processes of a local cluster with the thread that started them

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
    """Whether RAY_ADDRESS names something that can be a cluster's head and that takes a connection; Ray itself tries for minutes.

    Raises:
        ConfigError: it is no address of a head.
        ClusterError: nothing answers there.
    """
    if address in ("", "local", "auto"):
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise ConfigError(
            f"RAY_ADDRESS={address}: give the address of the cluster's head as HOST:PORT (the port of `ray start --head`, 6379 unless set); "
            "ray:// and http:// are not supported here. From outside a cluster, use `ray job submit`"
        )
    if (reason := _refusal(address)) is not None:
        raise ClusterError(
            f"RAY_ADDRESS={address}: no cluster answers there ({reason}); start it, give another address, or unset RAY_ADDRESS to use this machine"
        )


def _refusal(address: str) -> str | None:
    """Why nothing takes a connection at HOST:PORT; None where something does."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except (OSError, OverflowError) as error:
        return str(error)
    return None


def init_ray(num_cpus: int) -> None:
    """Attach where `RAY_ADDRESS` or `ray start` says; never to the private cluster of another process, which dies with it.

    Args:
        num_cpus: of the local cluster that is started where there is none.
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
    # The dashboard stays on: Train's clean-up of placement groups asks it whether a controller lives.
    # Ray ends idle processes beyond a limit within a second; those of scorers are needed again, with all that they have read.
    keep = {"num_workers_soft_limit": num_cpus + KEPT}
    local = {
        "num_cpus": num_cpus,
        "include_dashboard": True,
        "dashboard_port": 0,
        "_system_config": keep,
    }
    address = os.environ.get("RAY_ADDRESS") or find_started()
    if address in (None, "local"):
        os.environ.setdefault(
            "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0"
        )  # a process less: nobody takes this machine's only node away
        ray.init(address="local", **local, **options)
        return
    use_token()
    ray.init(**options)


def is_private() -> bool:
    """Whether this process started the cluster that it is connected to."""
    from ray._private.worker import global_worker

    return bool(global_worker.node is not None and global_worker.node.is_head())


def find_started() -> str | None:
    """The address of the cluster that `ray start` started on this machine; None where there is none, or where its note is all that is left."""
    from ray._private.services import find_bootstrap_address

    address: str | None = find_bootstrap_address(None)
    return address if address and _refusal(address) is None else None


def use_token() -> None:
    """Show this user's token, if there is one, to the cluster that RAY_ADDRESS names.

    Ray does so by itself only where it finds the cluster: a private cluster leaves a token in the home directory, the next `ray start --head`
    asks for it, and whoever names that cluster's address is refused. A cluster without tokens takes no notice of one.
    """
    from ray._private.authentication.authentication_token_setup import (
        maybe_enable_token_auth_if_token_available,
    )

    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def _explained(error: BaseException) -> ClusterError:
    """What Ray raised, in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    where = os.environ.get("RAY_ADDRESS")
    start = (
        f"RAY_ADDRESS={where}: the cluster cannot be used"
        if where
        else "Ray cannot be started here"
    )
    token = "; a cluster that asks for a token wants its own: compare ~/.ray/auth_token (or RAY_AUTH_TOKEN) with the head's, and RAY_AUTH_MODE"
    return ClusterError(f"{start}: {text}{token if where else ''}")


class HeadWatch:
    """Asks the cluster's head, several times a minute and in a thread of its own, whether it still knows this process's node.

    A head that is gone does not answer, one that was started anew without its memory knows no node of before; Ray waits for either without a word.
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
        """Seconds since the head last answered well, or 0 where it does."""
        seconds = time.monotonic() - self._last
        return seconds if seconds > 2 * self.INTERVAL_S else 0.0

    def _ask(self) -> None:
        import ray

        own = ray.get_runtime_context().get_node_id()
        while not self._stopped.wait(self.INTERVAL_S):
            with contextlib.suppress(Exception):  # whatever it raises, the head has not answered
                if any(node["NodeID"] == own for node in living_nodes()):
                    self._last = time.monotonic()
