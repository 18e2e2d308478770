"""Run the loop: decide, perform, append.

The calling process, the driver actor or a Tune trial hosts it.
"""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ray_al.core.code_version import code_digest
from ray_al.core.errors import Interrupted, RunHeldError
from ray_al.core.places import before_work
from ray_al.core.storage import Storage
from ray_al.datasets.catalog import with_root
from ray_al.driver.context import Context
from ray_al.driver.decide import Measure, Stop, Train, Wait, decide
from ray_al.driver.lease import Lease
from ray_al.driver.perform import Performer
from ray_al.driver.settings import settle_config
from ray_al.driver.status import StatusFile
from ray_al.driver.track import CurveLogger
from ray_al.ledger import Journal, State, fold
from ray_al.ledger.config import read_config
from ray_al.report.rows import write_curve


@dataclass(frozen=True)
class Outcome:
    """How the loop ended: `finished`, `waiting` (for labels in `detail`) or `interrupted`."""

    kind: str
    detail: str = ""


def run_loop(
    run_uri: str,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    on_trained: Callable[[State], None] = lambda state: None,
) -> Outcome:
    """Continue a run from the end of its journal until it ends.

    Args:
        should_stop: asked often; True ends the run cleanly between two steps.
        on_trained: called with the state at the start and after the training of each cycle.

    Raises:
        RunHeldError: another driver holds the run.
        RayALError: the run failed; it can be resumed.
    """
    storage = Storage(run_uri)
    with before_work():
        storage.remove_leftovers()
        storage.probe()
    with Lease(storage).acquire():
        loop = _Loop(storage, StatusFile(storage), should_stop, on_trained)
        try:
            return loop.run()
        except Interrupted:
            loop.end("interrupted")
            return Outcome("interrupted")
        except RunHeldError:
            raise  # the other driver reports what the run does now
        except BaseException:
            loop.end("failed")
            raise


class _Loop:
    """The state of a run while its loop works."""

    def __init__(
        self,
        storage: Storage,
        status: StatusFile,
        should_stop: Callable[[], bool],
        on_trained: Callable[[State], None],
    ) -> None:
        self.storage, self.status = storage, status
        self.should_stop, self.on_trained = should_stop, on_trained
        self.journal = Journal(storage)
        self.config = with_root(read_config(storage, self.journal.events))
        settle_config(storage, self.journal.events)
        self.tracker = CurveLogger(storage, self.config)
        self.state = fold(self.journal.events)

    def run(self) -> Outcome:
        self._tell()
        if isinstance(action := decide(self.state, self.config), Stop):
            return Outcome("finished", action.reason)
        facts = {"term": self.state.term + 1, "host": socket.gethostname(), "pid": os.getpid()}
        self.append("driver_started", {**facts, "code": code_digest()})
        context = Context(
            self.storage, self.config, self.state, self.append, self.note, self.should_stop
        )
        performer = Performer(context)
        try:
            performer.begin(action)
            while not isinstance(action := decide(self.state, self.config), Stop | Wait):
                if self.should_stop():
                    raise Interrupted("interrupted")
                self.append(*performer.perform(action, self.state))
                performer.tidy(action, self.state)
                write_curve(self.storage, self.state)
                if isinstance(action, Train | Measure):
                    self._tell()
        finally:
            performer.close()
        if isinstance(action, Wait):
            self.note("waiting", 0, 0)
            return Outcome("waiting", self.storage.uri(action.tasks))
        self.note("finished", 0, 0)
        return Outcome("finished", action.reason)

    def end(self, stage: str) -> None:
        """Write into the status that the loop ended early."""
        self.status.note(self.state, stage)

    def _tell(self) -> None:
        coming = decide(self.state, self.config)
        self.tracker(self.state, left_out=coming.cycle if isinstance(coming, Measure) else None)
        self.on_trained(self.state)

    def append(self, kind: str, data: Mapping[str, Any]) -> State:
        self.state = fold([self.journal.append(kind, data)], self.state)
        return self.state

    def note(self, stage: str, done: int, total: int, waiting: str = "") -> None:
        if self.should_stop():
            raise Interrupted("interrupted")
        self.status.note(self.state, stage, done, total, waiting)
