"""The loop, a plain function of a run directory. The driver actor, a Tune trial and the calling process host it alike."""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from ray_al.core.config import RunConfig, parse_config
from ray_al.core.errors import Interrupted
from ray_al.core.storage import Storage
from ray_al.driver.decide import Stop, Train, Wait, decide
from ray_al.driver.lease import Lease
from ray_al.driver.perform import Performer
from ray_al.driver.status import StatusFile
from ray_al.driver.track import Tracker
from ray_al.ledger import Journal, State, fold
from ray_al.report.build import write_curve

CONFIG = "config.yaml"


@dataclass(frozen=True)
class Outcome:
    """How the loop ended: `finished`, `waiting` (for labels in `detail`) or `interrupted`."""

    kind: str
    detail: str = ""


def read_config(storage: Storage) -> RunConfig:
    """The resolved configuration of a run directory."""
    return parse_config(yaml.safe_load(storage.read(CONFIG)), source=storage.uri(CONFIG))


def run_loop(run_uri: str, *, should_stop: Callable[[], bool] = lambda: False, on_trained: Callable[[State], None] = lambda state: None) -> Outcome:
    """Carry a run on from where its journal stands, to its end.

    Args:
        should_stop: asked often; True ends the run cleanly between two steps.
        on_trained: told the state at the start and after each cycle's training.

    Raises:
        RunHeldError: another driver holds the run.
        RayALError: the run failed; it can be resumed.
    """
    storage = Storage(run_uri)
    config = read_config(storage)
    lease = Lease(storage).acquire()
    status = StatusFile(storage)
    try:
        return _Loop(storage, config, status, should_stop, on_trained).run()
    except Interrupted:
        status.note(fold(Journal(storage).events), "interrupted")
        return Outcome("interrupted")
    except BaseException:
        status.note(fold(Journal(storage).events), "failed")
        raise
    finally:
        lease.release()


class _Loop:
    def __init__(
        self, storage: Storage, config: RunConfig, status: StatusFile, should_stop: Callable[[], bool], on_trained: Callable[[State], None]
    ) -> None:
        self.storage, self.config, self.status, self.should_stop, self.on_trained = storage, config, status, should_stop, on_trained
        self.tracker = Tracker(storage, config)
        self.journal = Journal(storage)
        self.state = fold(self.journal.events)

    def run(self) -> Outcome:
        self._tell()
        if isinstance(action := decide(self.state, self.config), Stop):
            return Outcome("finished", action.reason)
        self.append("driver_started", {"term": self.state.term + 1, "host": socket.gethostname(), "pid": os.getpid()})
        performer = Performer(self.storage, self.config, self.state, self.append, self.note, self.should_stop)
        try:
            while not isinstance(action := decide(self.state, self.config), Stop | Wait):
                if self.should_stop():
                    raise Interrupted("interrupted")
                self.append(*performer.perform(action, self.state))
                performer.tidy(action, self.state)
                write_curve(self.storage, self.state)
                if isinstance(action, Train):
                    self._tell()
        finally:
            performer.close()
        if isinstance(action, Wait):
            self.note("waiting", 0, 0)
            return Outcome("waiting", self.storage.uri(action.tasks))
        self.note("finished", 0, 0)
        return Outcome("finished", action.reason)

    def _tell(self) -> None:
        self.tracker(self.state)
        self.on_trained(self.state)

    def append(self, kind: str, data: Mapping[str, Any]) -> State:
        self.state = fold([self.journal.append(kind, data)], self.state)
        return self.state

    def note(self, stage: str, done: int, total: int, waiting: str = "") -> None:
        if self.should_stop():
            raise Interrupted("interrupted")
        self.status.note(self.state, stage, done, total, waiting)
