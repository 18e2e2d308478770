"""The mailbox in which a host and its Ray Train workers leave plans and answers."""

import threading
import time
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ray_al.core.errors import RayALError
from ray_al.core.types import TrainPlan, TrainResult


class PlanKey(NamedTuple):
    """Identifies a plan that was given out."""

    cycle: int
    attempt: int
    serial: int


@dataclass(frozen=True, kw_only=True)
class MailboxState:
    """What the host sees of a plan's training.

    Attributes:
        answer: result, or an error that a restart cannot mend; None while the training runs.
        progress: number of finished steps and of all steps.
        starts: number of groups that started with the plan.
        error: last error of a worker that Train restarts.
        silent_s: seconds since the last sign of life of a group, or since the plan was given out.
        lived: whether a group ever gave a sign of life.
    """

    answer: TrainResult | RayALError | None = None
    progress: tuple[int, int] = (0, 0)
    starts: int = 0
    error: str = ""
    silent_s: float
    lived: bool


class Mailbox:
    """Holds one plan at a time.

    No call blocks, so a dead worker cannot leave a waiting call behind. Every plan gets a serial
    number, and answers to another serial number, cycle or attempt are refused.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._serial = 0
        self._plan: TrainPlan | None = None
        self._answer: TrainResult | RayALError | None = None
        self._progress: tuple[int, int] = (0, 0)
        self._starts = 0
        self._stopped = False
        self._error = ""
        self._beat = time.monotonic()
        self._lived = False
        self._controller: Any = None

    def set_controller(self, controller: Any) -> None:
        """Keep the handle of the Train controller, the actor that starts the group."""
        with self._lock:
            self._controller = controller

    def get_controller(self) -> Any:
        """Return the handle of the Train controller, or None before it has started."""
        with self._lock:
            return self._controller

    def put_plan(self, plan: TrainPlan) -> int:
        """Give out a plan in place of the last one, and return its serial number."""
        with self._lock:
            self._serial += 1
            self._plan = plan
            self._answer = None
            self._progress = (0, 0)
            self._starts = 0
            self._stopped = False
            self._error = ""
            self._beat = time.monotonic()
            return self._serial

    def next_plan(self, seen: PlanKey | None) -> tuple[int, TrainPlan] | Literal["stop"] | None:
        """Return the plan to train with its serial number.

        Args:
            seen: plan that the worker answered last.

        Returns:
            `"stop"` if the worker must end, or None if there is nothing to train.
        """
        with self._lock:
            if self._stopped:
                return "stop"
            if self._plan is None or self._answer is not None:
                return None
            if seen == self._key(self._plan):
                return None
            return self._serial, self._plan

    def beat(self) -> None:
        """Record a sign of life of the group."""
        with self._lock:
            self._beat = time.monotonic()
            self._lived = True

    def started(self, serial: int) -> None:
        """Count a group that starts with a plan; every start after the first follows a failure."""
        with self._lock:
            if serial == self._serial:
                self._starts += 1

    def failed(self, serial: int, message: str) -> None:
        """Record the error of a worker that Train will restart."""
        with self._lock:
            if serial == self._serial:
                self._error = message

    def put_answer(
        self, serial: int, cycle: int, attempt: int, result: TrainResult | RayALError
    ) -> bool:
        """Accept the answer to the current plan.

        Args:
            serial: serial number of the plan.
            cycle: cycle of the plan.
            attempt: attempt of the plan.
            result: result, or an error that a restart cannot mend.

        Returns:
            Whether it was accepted; a late answer, or one to another plan, is refused.
        """
        with self._lock:
            if self._plan is None or self._answer is not None:
                return False
            if PlanKey(cycle, attempt, serial) != self._key(self._plan):
                return False
            self._answer = result
            return True

    def put_progress(self, serial: int, step: int, total: int) -> None:
        """Record the number of finished steps and of all steps."""
        with self._lock:
            if serial == self._serial:
                self._progress = (step, total)

    def get_state(self, serial: int) -> MailboxState:
        """Return the state of the plan with this serial number."""
        with self._lock:
            silent_s = time.monotonic() - self._beat
            if serial != self._serial:
                return MailboxState(silent_s=silent_s, lived=self._lived)
            return MailboxState(
                answer=self._answer,
                progress=self._progress,
                starts=self._starts,
                error=self._error,
                silent_s=silent_s,
                lived=self._lived,
            )

    def should_stop(self) -> bool:
        """Return whether the workers must stop."""
        with self._lock:
            return self._stopped

    def stop(self) -> None:
        """Ask the workers to end."""
        with self._lock:
            self._stopped = True

    def _key(self, plan: TrainPlan) -> PlanKey:
        return PlanKey(plan.cycle, plan.attempt, self._serial)


def start_mailbox(name: str) -> Any:
    """Start a mailbox as a Ray actor that takes no CPU, and return its handle.

    The actor ends with the process that starts it. It runs on the same node, so that the loss of
    another node cannot end it.

    Args:
        name: name of the actor.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {
        "name": name,
        "num_cpus": 0,
        "scheduling_strategy": here,
        "max_concurrency": 8,
        "max_restarts": 0,
    }
    return ray.remote(Mailbox).options(**options).remote()
