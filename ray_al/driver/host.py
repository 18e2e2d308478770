"""Run the loop in the calling process, or in a named Ray actor.

The actor is started again if it dies, and continues from the journal.

Functions import Ray themselves: it takes a second to load, and many commands do without it.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from shlex import quote
from typing import Any

from ray_al.core.config import RunConfig
from ray_al.core.errors import ClusterError, Interrupted, RayALError
from ray_al.core.storage import Storage
from ray_al.driver.cluster import NAMESPACE, HeadWatch, connect, is_private, needs_ray
from ray_al.driver.loop import Outcome, run_loop
from ray_al.driver.warm import warm_up
from ray_al.ledger import Journal, fold
from ray_al.ledger.config import read_config

POLL_S = 0.25
SAY_S = 10.0
"""Waits that last longer are reported."""
HEAD_LOST_S = 45.0
"""How long the head of a cluster may be gone before the run ends.

Ray itself ends the process after a minute, with a message of its own."""
MAX_DEATHS = 3
"""Number of consecutive deaths of the driver, without a new event, after which the run fails."""
OnPoll = Callable[[str], None]
"""Called while the run works, with the reason for a wait or an empty string."""


def run(
    run_uri: str, *, should_stop: Callable[[], bool], on_poll: OnPoll = lambda waiting: None
) -> Outcome:
    """Continue the run in the host that its configuration names.

    Args:
        should_stop: asked several times a second; True ends the run cleanly between two steps.
        on_poll: called as often, to show progress; its argument names what is waited for instead
            of the driver, and is empty otherwise.

    Raises:
        RayALError: the run failed, or its cluster did; it can be resumed.
    """
    storage = Storage(run_uri)
    config = read_config(storage)
    fold(Journal(storage).events)  # refuses a damaged journal before Ray is started
    try:
        with connect(config, should_stop=should_stop):
            if config.cluster.host == "actor":
                return _run_in_actor(run_uri, config, should_stop, on_poll)
            if needs_ray(config) and is_private():
                warm_up(config)
            return _run_in_process(run_uri, should_stop, on_poll)
    except Interrupted:
        return Outcome("interrupted")


def _run_in_process(run_uri: str, should_stop: Callable[[], bool], on_poll: OnPoll) -> Outcome:
    done = threading.Event()

    def poll() -> None:
        while not done.wait(POLL_S):
            on_poll("")

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        return run_loop(run_uri, should_stop=should_stop)
    finally:
        done.set()
        thread.join()


class DriverActor:
    """Hosts `run_loop`; it may be killed and started again, since its memory holds no results."""

    def __init__(self, run_uri: str) -> None:
        self.run_uri = run_uri
        self._stops: dict[str, threading.Event] = {}

    def run(self, caller: str) -> Outcome:
        """Continue the run for `caller`.

        Raises:
            RunHeldError: the actor already does so for another caller.
        """
        return run_loop(self.run_uri, should_stop=self._stop(caller).is_set)

    def is_there(self) -> bool:
        """Return True; the answer shows that the actor has started."""
        return True

    def request_stop(self, caller: str) -> None:
        """End the run that `caller` asked for; a caller that only looks on may not stop it."""
        self._stop(caller).set()

    def _stop(self, caller: str) -> threading.Event:
        return self._stops.setdefault(caller, threading.Event())


def _run_in_actor(
    run_uri: str, config: RunConfig, should_stop: Callable[[], bool], on_poll: OnPoll
) -> Outcome:
    """Start the driver again whenever it dies, unless it dies repeatedly without any progress."""
    import ray

    deaths, known = 0, _num_facts(run_uri)
    actor = _start_actor(run_uri)
    if is_private():
        warm_up(config)  # while the driver starts
    while True:
        try:
            with HeadWatch() as head:
                return _follow(actor, config, head, should_stop, on_poll)
        except ray.exceptions.RayActorError as error:
            facts = _num_facts(run_uri)
            deaths, known = (deaths + 1 if facts == known else 1), facts
            if deaths >= MAX_DEATHS:
                raise RayALError(
                    f"the driver's process died {deaths} times without getting any further; "
                    f"the last time: {' '.join(str(error).split())[:500]}. Look for what ends it "
                    f"(memory, the model's own code), then: ray-al resume {quote(run_uri)}"
                ) from None
        if should_stop():
            return Outcome("interrupted")
        time.sleep(POLL_S)
        actor = _start_actor(run_uri)


def _num_facts(run_uri: str) -> int:
    """Count the events of the run, except for the starts of its drivers."""
    return sum(event.kind != "driver_started" for event in Journal(Storage(run_uri)).events)


def _start_actor(run_uri: str) -> Any:
    import ray

    name = "driver-" + hashlib.sha256(Storage(run_uri).root.encode()).hexdigest()[:16]
    options = {
        "name": name,
        "namespace": NAMESPACE,
        "get_if_exists": True,
        "num_cpus": 0,
        "max_concurrency": 4,
        "scheduling_strategy": "DEFAULT",
    }
    return ray.remote(DriverActor).options(**options).remote(run_uri)


def _follow(
    actor: Any, config: RunConfig, head: HeadWatch, should_stop: Callable[[], bool], on_poll: OnPoll
) -> Outcome:
    """Wait for the driver's answer, and report what else is waited for."""
    import ray

    caller = secrets.token_hex(8)
    started, there, answer = time.monotonic(), actor.is_there.remote(), actor.run.remote(caller)
    asked = False
    while not ray.wait([answer], timeout=POLL_S)[0]:
        on_poll(_waiting(there, started, config, head))
        if should_stop() and not asked:
            actor.request_stop.remote(caller)
            asked = True
    try:
        outcome: Outcome = ray.get(answer)
        return outcome
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        raise (cause if isinstance(cause, RayALError) else error) from None


def _waiting(there: Any, started: float, config: RunConfig, head: HeadWatch) -> str:
    """Return what is waited for instead of the run itself; empty if nothing is.

    Raises:
        ClusterError: the wait has lasted too long.
    """
    import ray

    gone = head.gone_s()
    if gone > HEAD_LOST_S:
        raise ClusterError(
            f"the head of the cluster has been gone for {gone:.0f} s; what is recorded is safe, "
            "resume on a cluster that works"
        )
    if gone > SAY_S:
        return f"waiting for the head of the cluster, gone for {gone // SAY_S * SAY_S:.0f} s"
    waited = time.monotonic() - started
    if waited < SAY_S or ray.wait([there], timeout=0)[0]:
        return ""
    limit = config.cluster.start_timeout_s
    if waited > limit:
        raise ClusterError(
            "the cluster did not start the run's driver within "
            f"cluster.start_timeout_s={limit:g} s; look at `ray status`, then resume"
        )
    return (
        f"waiting for the cluster to start the driver, {waited // SAY_S * SAY_S:.0f} s "
        f"of at most {limit:g} s"
    )
