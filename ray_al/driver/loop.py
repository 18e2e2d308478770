"""Run the loop: decide, perform, record.

The calling process, the driver actor or a Tune trial hosts it.
"""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from ray_al.core.code_version import code_digest
from ray_al.core.errors import Interrupted, RunHeldError
from ray_al.core.places import before_work
from ray_al.core.storage import Storage
from ray_al.datasets.catalog import with_root
from ray_al.datasets.whole import forget_files
from ray_al.driver.actions.action import Action, Step
from ray_al.driver.actions.measure import Measure
from ray_al.driver.actions.stop import Stop
from ray_al.driver.actions.wait import Wait
from ray_al.driver.asking import announce_classes
from ray_al.driver.context import Context
from ray_al.driver.decide import decide
from ray_al.driver.embedding import drop_outdated
from ray_al.driver.extend.notice import say_unknown_images
from ray_al.driver.lease import Lease
from ray_al.driver.quarantine import begin_session
from ray_al.driver.settings import settle_config
from ray_al.driver.status import StatusFile
from ray_al.driver.track import CurveLogger
from ray_al.ledger import Journal, Ledger, State
from ray_al.ledger.config import read_config
from ray_al.ledger.records import DriverStarted
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
        storage.probe()
    with Lease(storage).acquire():
        with before_work():
            storage.remove_leftovers()
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
    """A run while its loop works."""

    def __init__(
        self,
        storage: Storage,
        status: StatusFile,
        should_stop: Callable[[], bool],
        on_trained: Callable[[State], None],
    ) -> None:
        self.storage, self.status = storage, status
        self.should_stop, self.on_trained = should_stop, on_trained
        journal = Journal(storage)
        self.config = with_root(read_config(storage, journal.events))
        settle_config(storage, journal.events)
        self.tracker = CurveLogger(storage, self.config)
        self.ledger = Ledger.of(journal)

    def run(self) -> Outcome:
        self._tell()
        if isinstance(step := self._decide(), Stop):
            return Outcome("finished", step.reason)
        self.ledger.append(
            DriverStarted(
                term=self.ledger.state.attempt + 1,
                host=socket.gethostname(),
                pid=os.getpid(),
                code=code_digest(),
            )
        )
        context = Context(self.storage, self.config, self.ledger, self.note, self.should_stop)
        try:
            self._begin(context, step)
            while isinstance(step := self._decide(), Action):
                if self.should_stop():
                    raise Interrupted("interrupted")
                self.ledger.append(step.perform(context))
                step.after(context)
                forget_files()
                write_curve(self.storage, self.ledger.state)
                if step.extends_curve:
                    self._tell()
        finally:
            context.close()
        if isinstance(step, Wait):
            self.note("waiting", 0, 0)
            return Outcome("waiting", self.storage.uri(step.tasks))
        assert isinstance(step, Stop)
        self.note("finished", 0, 0)
        return Outcome("finished", step.reason)

    def end(self, stage: str) -> None:
        """Write into the status that the loop ended early."""
        self.status.note(self.ledger.state, stage)

    def _decide(self) -> Step:
        return decide(self.ledger.state, self.config)

    def _begin(self, context: Context, step: Step) -> None:
        """Begin the session of a host.

        The training workers start while the first labels are made, unless people make them.
        Quarantined images and stored features are checked again.

        Args:
            step: what comes first.
        """
        if (
            self.config.label.annotator.answers_at_once
            and self.config.keeps_group
            and isinstance(step, Action)
            and step.leads_to_training
        ):
            context.trainer.start()
        announce_classes(self.storage, self.ledger.state, self.config)
        say_unknown_images(context)
        begin_session(context)
        drop_outdated(context)

    def _tell(self) -> None:
        coming, state = self._decide(), self.ledger.state
        self.tracker(state, left_out=coming.cycle if isinstance(coming, Measure) else None)
        self.on_trained(state)

    def note(self, stage: str, done: int, total: int, waiting: str = "") -> None:
        if self.should_stop():
            raise Interrupted("interrupted")
        self.status.note(self.ledger.state, stage, done, total, waiting)
