"""Where the host of a run and its Train workers leave plans and answers for each other."""

import threading
import time
from typing import Any, Literal

from ray_al.core.errors import RayALError
from ray_al.core.types import TrainPlan, TrainResult

Seen = tuple[int, int, int]


class Mailbox:
    """One plan at a time. No call waits, so that no dead worker leaves a waiting call behind.

    Every plan gets a serial number; answers to another (serial, cycle, attempt) are refused.
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
        """Keep the handle of the actor that starts the group."""
        with self._lock:
            self._controller = controller

    def get_controller(self) -> Any:
        with self._lock:
            return self._controller

    def put_plan(self, plan: TrainPlan) -> int:
        """Give out a plan in place of the last; its serial number."""
        with self._lock:
            self._serial += 1
            self._plan, self._answer, self._progress, self._starts, self._stopped = (
                plan,
                None,
                (0, 0),
                0,
                False,
            )
            self._error, self._beat = "", time.monotonic()
            return self._serial

    def next_plan(self, seen: Seen | None) -> tuple[int, TrainPlan] | Literal["stop"] | None:
        """The plan to train, `stop`, or None where there is nothing to do.

        Args:
            seen: (cycle, attempt, serial) of the plan that the worker answered last.
        """
        with self._lock:
            if self._stopped:
                return "stop"
            if self._plan is None or self._answer is not None:
                return None
            if seen == (self._plan.cycle, self._plan.attempt, self._serial):
                return None
            return self._serial, self._plan

    def beat(self) -> None:
        """A group is alive."""
        with self._lock:
            self._beat, self._lived = time.monotonic(), True

    def started(self, serial: int) -> None:
        """A group begins with a plan; starts after the first are failures."""
        with self._lock:
            self._starts += serial == self._serial

    def failed(self, serial: int, message: str) -> None:
        """Keep the error of a worker that Train will start again."""
        with self._lock:
            if serial == self._serial:
                self._error = message

    def put_answer(
        self, serial: int, cycle: int, attempt: int, result: TrainResult | RayALError
    ) -> bool:
        """Take a result (or an error that no restart mends); False refuses a late one."""
        with self._lock:
            if (
                self._plan is None
                or self._answer is not None
                or (serial, cycle, attempt) != (self._serial, self._plan.cycle, self._plan.attempt)
            ):
                return False
            self._answer = result
            return True

    def put_progress(self, serial: int, step: int, total: int) -> None:
        with self._lock:
            if serial == self._serial:
                self._progress = (step, total)

    def get_answer(self, serial: int) -> dict[str, Any]:
        """`answer` (or None), `progress` (step, steps), `starts` and last `error` of the plan with this serial number.

        `silent_s` are the seconds since a group last gave a sign of life, or since the plan was given out; `lived` whether one ever did.
        """
        with self._lock:
            silent = {"silent_s": time.monotonic() - self._beat, "lived": self._lived}
            if serial != self._serial:
                return {"answer": None, "progress": (0, 0), "starts": 0, "error": "", **silent}
            return {
                "answer": self._answer,
                "progress": self._progress,
                "starts": self._starts,
                "error": self._error,
                **silent,
            }

    def should_stop(self) -> bool:
        with self._lock:
            return self._stopped

    def stop(self) -> None:
        """Tell the workers to end."""
        with self._lock:
            self._stopped = True


def start_mailbox(name: str) -> Any:
    """A mailbox as a Ray actor of this name that takes no CPU.

    It ends with its maker, and lives on the same node, so that the end of no other node takes it away.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {
        "name": name,
        "num_cpus": 0,
        "scheduling_strategy": here,
        "max_concurrency": 8,
        "max_restarts": 0,
    }
    return ray.remote(Mailbox).options(**options).remote()
