"""Hosts of the loop: the calling process, and a named Ray actor that restarts and goes on from the journal."""

import hashlib
import secrets
import threading
from collections.abc import Callable
from typing import Any

from ray_al.core.errors import RayALError
from ray_al.core.storage import Storage
from ray_al.driver.cluster import connect
from ray_al.driver.loop import Outcome, run_loop
from ray_al.ledger import Journal, fold
from ray_al.ledger.config import read_config

POLL_S = 0.25


def run(run_uri: str, *, should_stop: Callable[[], bool], on_poll: Callable[[], None] = lambda: None) -> Outcome:
    """Carry on the run in the host that its configuration names.

    Args:
        should_stop: asked several times a second; True ends the run cleanly between two steps.
        on_poll: called as often, to show progress.
    """
    storage = Storage(run_uri)
    config = read_config(storage)
    fold(Journal(storage).events)  # a ledger that is damaged is refused before Ray is started
    with connect(config):
        if config.cluster.host == "actor":
            return _run_in_actor(run_uri, should_stop, on_poll)
        return _run_in_process(run_uri, should_stop, on_poll)


def _run_in_process(run_uri: str, should_stop: Callable[[], bool], on_poll: Callable[[], None]) -> Outcome:
    done = threading.Event()

    def poll() -> None:
        while not done.wait(POLL_S):
            on_poll()

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        return run_loop(run_uri, should_stop=should_stop)
    finally:
        done.set()
        thread.join()


class DriverActor:
    """Hosts `run_loop`. Restarted by Ray when it dies; nothing that matters lives in its memory."""

    def __init__(self, run_uri: str) -> None:
        self.run_uri = run_uri
        self._stops: dict[str, threading.Event] = {}

    def run(self, caller: str) -> Outcome:
        """Carry the run on for `caller`; RunHeldError where the actor does so for another one already."""
        return run_loop(self.run_uri, should_stop=self._stop(caller).is_set)

    def request_stop(self, caller: str) -> None:
        """End what `caller` asked for, and nothing of others: whoever looks on may not stop a run."""
        self._stop(caller).set()

    def _stop(self, caller: str) -> threading.Event:
        return self._stops.setdefault(caller, threading.Event())


def _run_in_actor(run_uri: str, should_stop: Callable[[], bool], on_poll: Callable[[], None]) -> Outcome:
    import ray

    from ray_al.driver.cluster import NAMESPACE

    name = "driver-" + hashlib.sha256(Storage(run_uri).root.encode()).hexdigest()[:16]
    actor: Any = (
        ray.remote(DriverActor)
        .options(
            name=name,
            namespace=NAMESPACE,
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=-1,
            max_concurrency=4,
            scheduling_strategy="DEFAULT",
        )
        .remote(run_uri)
    )
    caller = secrets.token_hex(8)
    answer = actor.run.remote(caller)
    while not ray.wait([answer], timeout=POLL_S)[0]:
        on_poll()
        if should_stop():  # said again and again: an actor that was restarted since has forgotten it
            actor.request_stop.remote(caller)
    try:
        outcome: Outcome = ray.get(answer)
        return outcome
    except ray.exceptions.RayActorError as error:
        raise RayALError(f"{run_uri}: the process of the driver has ended ({_first_line(error)}); go on with `ray-al resume {run_uri}`") from None
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        raise (cause if isinstance(cause, RayALError) else error) from None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
