"""Train plans on a group of Ray Train workers that lives as long as the run."""

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

from ray_al.core.config import RunConfig
from ray_al.core.errors import ClusterError, RayALError
from ray_al.core.storage import Storage, join_uri
from ray_al.core.types import TrainPlan, TrainResult
from ray_al.train.callbacks import ProgressCallback, StopCallback, WaitingCallback
from ray_al.train.cycle import TrainStopped

# Ray, and the modules of this package that load it, are imported within functions: a run that
# trains in its own process should not wait for them.
if TYPE_CHECKING:
    from ray_al.train.mailbox import MailboxState

POLL_SECONDS = 0.05
CLOSE_SECONDS = 60.0
"""Longest wait for a group to end by itself."""
END_SECONDS = 5.0
"""Longest wait for a mailbox or a controller that may be lost."""
ASK_SECONDS = 120.0
"""Longest wait for an answer of the mailbox."""
ELASTIC_SECONDS = 150.0
"""Longest silence of an elastic group that has lived before. After a loss, Ray tries the old size
for a minute and then starts a smaller group; if that takes longer, Ray does not start it any more.
"""
SAY_SECONDS = 10.0
"""Shortest silence that is reported, and the interval of the reports."""
TRAIN_START_SECONDS = 60.0
"""Time that Ray Train takes to try to place a group, before it tries again."""
CONTROLLER_FAILURES = 3
"""Failures of the Train controller that are tolerated in addition to tries to place the group."""
ERROR_CHARACTERS = 2000
"""Length of the end of an error's text that is quoted."""


class RayTrainer:
    """Trains on a group of Ray Train workers.

    The group is started before or with the first plan, and kept for the next ones.

    Args:
        config: configuration of the run.
        run_uri: URI of the run directory, on storage that every node can access.
        run_name: name of the Train run. Every host uses another name, so that none resumes the
            group of another host.
    """

    def __init__(self, config: RunConfig, run_uri: str, *, run_name: str) -> None:
        self.config = config
        self.run_uri = Storage(run_uri).root
        self.run_name = run_name
        self._mailbox: Any = None
        self._thread: threading.Thread | None = None
        self._errors: list[BaseException] = []
        self._controller: Any = None
        self._lived = False
        self._is_lost = False
        self._groups = 0

    def start(self) -> None:
        """Start a group in the background, unless one is alive."""
        if self._thread is not None and self._thread.is_alive():
            return
        from ray_al.train.mailbox import start_mailbox

        if self._mailbox is not None:
            self.close()
        name = f"mailbox-{self.run_name}-{self._groups}"
        self._errors = []
        self._lived = False
        self._is_lost = False
        self._mailbox = start_mailbox(name)
        arguments = (name, f"{self.run_name}-{self._groups}", self._errors)
        self._thread = threading.Thread(
            target=self._fit, args=arguments, daemon=True, name="ray-al-fit"
        )
        self._groups += 1
        self._thread.start()

    def train(
        self,
        plan: TrainPlan,
        progress: ProgressCallback | None = None,
        should_stop: StopCallback | None = None,
        waiting: WaitingCallback | None = None,
    ) -> TrainResult:
        """Give out a plan and wait for its result.

        A group is replaced if its mailbox is lost, or if it is elastic and Ray stops starting it.

        Args:
            plan: plan to train.
            progress: called when steps are finished.
            should_stop: called often; training stops when it returns true.
            waiting: called while no worker gives a sign of life.

        Raises:
            BrokenImagesError: labelled images cannot be used.
            RayALError: the training failed more than `train.max_failures` times, or cannot work.
            ClusterError: no group gave a sign of life for `cluster.start_timeout_s`.
            TrainStopped: `should_stop` returned true.
        """
        import ray

        stop, report = should_stop or _never, waiting or _ignore
        for lost in range(self.config.train.max_failures + 1):
            try:
                self.start()
                serial = self._ask(self._mailbox.put_plan.remote(plan), plan, stop)
                result = self._wait(plan, serial, progress, stop, report)
                break
            except (ray.exceptions.RayActorError, _GroupLost) as error:
                self._is_lost = True
                self.close()
                if lost == self.config.train.max_failures:
                    raise ClusterError(
                        f"cycle {plan.cycle}: the training group was lost {lost + 1} times; "
                        f"the last time: {_text(error)}"
                    ) from error
            except BaseException:
                self.close()
                raise
        if not self.config.keeps_group:
            self.close()
        return result

    def close(self) -> None:
        """End the group and its mailbox."""
        import ray

        if self._mailbox is None:
            return
        lost = (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError)
        with contextlib.suppress(*lost):  # then no worker can be asked to end
            ray.get(self._mailbox.stop.remote(), timeout=END_SECONDS)
            if self._controller is None:  # the group was started, but never waited for
                self._controller = ray.get(
                    self._mailbox.get_controller.remote(), timeout=END_SECONDS
                )
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS if self._lived and not self._is_lost else 0)
            if self._thread.is_alive() and self._controller is not None:
                # The controller obeys at once, or after its current try to place the group, which
                # takes a minute at most. If it were killed, that place would stay reserved.
                self._controller.abort.remote()
                self._thread.join(END_SECONDS)
        ray.kill(self._mailbox)
        self._mailbox = None
        self._thread = None
        self._controller = None

    def _ask(self, ref: Any, plan: TrainPlan, stop: StopCallback) -> Any:
        """Return the mailbox's answer, which takes milliseconds on a healthy cluster.

        Raises:
            ClusterError: there was no answer within `ASK_SECONDS`.
            TrainStopped: `stop` returned true.
        """
        import ray

        deadline = time.monotonic() + ASK_SECONDS
        while not ray.wait([ref], timeout=POLL_SECONDS)[0]:
            if stop():
                raise TrainStopped(
                    f"cycle {plan.cycle}: training was stopped while its mailbox did not answer"
                )
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"cycle {plan.cycle}: the mailbox of the training group did not answer for "
                    f"{ASK_SECONDS:.0f} s; resume the run"
                )
        return ray.get(ref)

    def _wait(
        self,
        plan: TrainPlan,
        serial: int,
        progress: ProgressCallback | None,
        stop: StopCallback,
        report: WaitingCallback,
    ) -> TrainResult:
        """Poll the mailbox until it has the result of a plan."""
        last = (0, 0)
        while True:
            if self._controller is None:
                self._controller = self._ask(self._mailbox.get_controller.remote(), plan, stop)
            state: MailboxState = self._ask(self._mailbox.get_state.remote(serial), plan, stop)
            self._lived = state.lived
            if isinstance(state.answer, TrainResult):
                return state.answer
            if state.answer is not None:
                raise state.answer
            self._check_failures(plan, state)
            self._check_silence(plan, state.silent_s, report)
            if progress is not None and state.progress != last:
                last = state.progress
                progress(*last)
            if stop():
                raise TrainStopped(
                    f"cycle {plan.cycle}: training was stopped at step {last[0]} of {last[1]}"
                )
            time.sleep(POLL_SECONDS)

    def _check_failures(self, plan: TrainPlan, state: "MailboxState") -> None:
        """Raise the error of a group that ended or failed too often."""
        if self._errors:
            raise RayALError(
                f"cycle {plan.cycle}: the training group ended: {_text(self._errors[0])}"
            ) from self._errors[0]
        if self._thread is not None and not self._thread.is_alive():
            raise _GroupLost("its workers ended without an answer")
        failures, limit = state.starts - 1, self.config.train.max_failures
        if failures > limit:
            raise RayALError(
                f"cycle {plan.cycle}: training failed {failures} times (train.max_failures is "
                f"{limit}); last error: {state.error or 'a worker process died'}"
            )

    def _check_silence(self, plan: TrainPlan, silent_s: float, report: WaitingCallback) -> None:
        """Report a group that gives no sign of life, and give up on it in the end."""
        workers, limit = self.config.train.workers, self.config.cluster.start_timeout_s
        if silent_s < SAY_SECONDS:
            return
        rounded_s = silent_s // SAY_SECONDS * SAY_SECONDS
        gpus = self.config.train.gpus_per_worker
        each = f" with {gpus:g} GPUs each" if gpus else ""
        report(
            f"waiting for {workers} training workers{each} to start, {rounded_s:.0f} s "
            f"of at most {limit:g} s"
        )
        if silent_s > ELASTIC_SECONDS and self._lived and isinstance(workers, tuple):
            raise _GroupLost(f"no workers were restarted for {ELASTIC_SECONDS:.0f} s")
        if silent_s > limit:
            raise ClusterError(
                f"cycle {plan.cycle}: no group of training workers (train.workers={workers}) "
                f"started within cluster.start_timeout_s={limit:g} s; look at `ray status` for "
                "what takes the CPUs and GPUs, free them or add nodes, then resume"
            )

    def _fit(self, mailbox: str, name: str, errors: list[BaseException]) -> None:
        """Run a group until it ends.

        Args:
            mailbox: name of the group's mailbox.
            name: name of the Train run.
            errors: takes the error of this group; the next group has another list.
        """
        try:
            from ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator import (
                get_or_create_autoscaling_coordinator,
            )

            from ray_al.train.controller import share_environment

            share_environment()
            if isinstance(self.config.train.workers, tuple):
                # Ray puts the actor that counts free resources on the node that first asks for it.
                # The run is lost without this node anyway.
                get_or_create_autoscaling_coordinator()
            self._torch_trainer(mailbox, name).fit()
        except BaseException as error:  # raised by the thread that waits in train()
            errors.append(error)

    def _torch_trainer(self, mailbox: str, name: str) -> Any:
        """Return the TorchTrainer of a group."""
        import ray
        from ray.train import ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        from ray_al.train.worker import worker_loop

        train, namespace = self.config.train, ray.get_runtime_context().namespace
        gpus = train.gpus_per_worker
        resources = {"CPU": 1, "GPU": gpus} if gpus else {"CPU": 0.5}
        workers = train.workers if isinstance(train.workers, int) else tuple(train.workers)
        loop_config = {
            "config": self.config.model_dump(mode="json"),
            "run_uri": self.run_uri,
            "mailbox": mailbox,
            "namespace": namespace,
        }
        return TorchTrainer(
            worker_loop,
            train_loop_config=loop_config,
            torch_config=TorchConfig(backend=train.backend),
            scaling_config=ScalingConfig(
                num_workers=workers, use_gpu=bool(gpus), resources_per_worker=resources
            ),
            run_config=self._run_config(mailbox, namespace, name),
        )

    def _run_config(self, mailbox: str, namespace: str, name: str) -> Any:
        """Return the RunConfig of a group."""
        from ray.train import FailureConfig
        from ray.train import RunConfig as TrainRunConfig

        from ray_al.train.controller import Introduce

        # Train counts each try to place the group as a failure of the controller. The failures of
        # each plan are counted by `_check_failures`.
        starts = int(self.config.cluster.start_timeout_s / TRAIN_START_SECONDS)
        return TrainRunConfig(
            name=name,
            storage_path=join_uri(self.run_uri, ".ray_train"),
            failure_config=FailureConfig(
                max_failures=-1,
                controller_failure_limit=CONTROLLER_FAILURES + starts,
                max_preemption_failures=-1,
            ),
            callbacks=[Introduce(mailbox, namespace)],
        )


class _GroupLost(RayALError):
    """A group cannot continue, but another one may."""


def _never() -> bool:
    return False


def _ignore(waiting: str) -> None:
    """Take a report that nobody asked for."""


def _text(error: BaseException) -> str:
    return " ".join(str(error).split())[-ERROR_CHARACTERS:] or type(error).__name__
