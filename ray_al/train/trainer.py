"""Who trains: the host's own process, or a group of Ray Train workers that lives as long as the run."""

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from ray_al.core.config import RunConfig
from ray_al.core.errors import ClusterError, RayALError
from ray_al.core.storage import Storage, join_uri
from ray_al.core.types import TrainPlan, TrainResult
from ray_al.train.loop import CycleTrainer, Progress, TrainStopped

POLL_SECONDS = 0.05
CLOSE_SECONDS = 60.0
END_SECONDS = 5.0
ASK_SECONDS = 120.0
ELASTIC_SECONDS = 150.0
"""After a loss, an elastic group tries its old size in vain for a minute, then starts smaller; one that takes longer starts no more."""
SAY_SECONDS = 10.0
"""Waits of this length are told."""
TRAIN_START_SECONDS = 60.0
"""How long Ray Train tries to place a group before it tries again."""
Stop = Callable[[], bool]
Tell = Callable[[str], None]


class Trainer(Protocol):
    """What the driver asks to train."""

    def start(self) -> None:
        """Begin to start the processes that train, which takes seconds; nobody waits for them before the first plan."""

    def train(
        self,
        plan: TrainPlan,
        progress: Progress | None = None,
        should_stop: Stop | None = None,
        waiting: Tell | None = None,
    ) -> TrainResult:
        """Train one plan."""

    def close(self) -> None:
        """Give back processes and memory."""


class LocalTrainer:
    """Trains in this process."""

    def __init__(self, config: RunConfig, run_uri: str) -> None:
        self.config, self.run_uri = config, run_uri
        self._cycles: CycleTrainer | None = None

    def start(self) -> None:
        """Nothing is to be started."""

    def train(
        self,
        plan: TrainPlan,
        progress: Progress | None = None,
        should_stop: Stop | None = None,
        waiting: Tell | None = None,
    ) -> TrainResult:
        """Train one plan; TrainStopped where `should_stop` says so."""
        import torch

        from ray_al.train.comm import LocalComm

        if self._cycles is None:
            cuda = self.config.train.gpus_per_worker > 0 and torch.cuda.is_available()
            self._cycles = CycleTrainer(
                self.config, self.run_uri, LocalComm(), torch.device("cuda" if cuda else "cpu")
            )
        return self._cycles.run(plan, progress=progress, should_stop=should_stop)

    def close(self) -> None:
        self._cycles = None


class RayTrainer:
    """Trains on a group of Ray Train workers, started before or with the first plan and kept for the next ones.

    Args:
        config: of the run.
        run_uri: the run directory, on storage that every node reaches.
        run_name: name of the Train run; another one for every host, so that none resumes another's group.
    """

    def __init__(self, config: RunConfig, run_uri: str, *, run_name: str) -> None:
        self.config, self.run_uri, self.run_name = config, Storage(run_uri).root, run_name
        self._mailbox: Any = None
        self._thread: threading.Thread | None = None
        self._errors: list[BaseException] = []
        self._controller: Any = None
        self._lived = self._is_lost = False
        self._groups = 0

    def start(self) -> None:
        """Begin to start a group, where none is alive."""
        if self._thread is not None and self._thread.is_alive():
            return
        from ray_al.train.mailbox import start_mailbox

        if self._mailbox is not None:
            self.close()
        name = f"mailbox-{self.run_name}-{self._groups}"
        self._errors, self._lived, self._is_lost = [], False, False
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
        progress: Progress | None = None,
        should_stop: Stop | None = None,
        waiting: Tell | None = None,
    ) -> TrainResult:
        """Give out a plan and wait for its answer. A group whose mailbox is lost, or an elastic one that Ray starts no more, is replaced.

        Raises:
            BrokenImagesError: labelled images cannot be used.
            RayALError: the cycle failed more often than `train.max_failures`, or cannot work.
            ClusterError: no group gave a sign of life for `cluster.start_timeout_s`.
            TrainStopped: `should_stop` said so.
        """
        import ray

        stop, tell = should_stop or _never, waiting or _unheard
        for lost in range(self.config.train.max_failures + 1):
            try:
                self.start()
                serial = self._ask(self._mailbox.put_plan.remote(plan), plan, stop)
                result = self._wait(plan, serial, progress, stop, tell)
                break
            except (ray.exceptions.RayActorError, _GroupLost) as error:
                self._is_lost = True
                self.close()
                if lost == self.config.train.max_failures:
                    raise ClusterError(
                        f"cycle {plan.cycle}: the training group was lost {lost + 1} times; the last time: {_text(error)}"
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
        with contextlib.suppress(
            ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError
        ):  # a mailbox that is lost tells nobody
            ray.get(self._mailbox.stop.remote(), timeout=END_SECONDS)
            if self._controller is None:  # started, and not waited for yet
                self._controller = ray.get(
                    self._mailbox.get_controller.remote(), timeout=END_SECONDS
                )
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS if self._lived and not self._is_lost else 0)
            if self._thread.is_alive() and self._controller is not None:
                # Heeded at once, or after this try to place the group, which takes a minute at most; killed, it would leave its place taken.
                self._controller.abort.remote()
                self._thread.join(END_SECONDS)
        ray.kill(self._mailbox)
        self._mailbox = self._thread = self._controller = None

    def _ask(self, ref: Any, plan: TrainPlan, stop: Stop) -> Any:
        """The mailbox's answer, which takes milliseconds where the cluster works.

        Raises:
            ClusterError: there was none within `ASK_SECONDS`.
            TrainStopped: `stop` said so.
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
                    f"cycle {plan.cycle}: the mailbox of the training group did not answer for {ASK_SECONDS:.0f} s; resume the run"
                )
        return ray.get(ref)

    def _wait(
        self, plan: TrainPlan, serial: int, progress: Progress | None, stop: Stop, tell: Tell
    ) -> TrainResult:
        told = (0, 0)
        while True:
            if self._controller is None:
                self._controller = self._ask(self._mailbox.get_controller.remote(), plan, stop)
            state = self._ask(self._mailbox.get_answer.remote(serial), plan, stop)
            self._lived = state["lived"]
            if isinstance(state["answer"], TrainResult):
                return state["answer"]
            if state["answer"] is not None:
                raise state["answer"]
            self._check_failures(plan, state["starts"], state["error"])
            self._check_silence(plan, state["silent_s"], tell)
            if progress is not None and state["progress"] != told:
                told = state["progress"]
                progress(*told)
            if stop():
                raise TrainStopped(
                    f"cycle {plan.cycle}: training was stopped at step {told[0]} of {told[1]}"
                )
            time.sleep(POLL_SECONDS)

    def _check_failures(self, plan: TrainPlan, starts: int, error: str) -> None:
        if self._errors:
            raise RayALError(
                f"cycle {plan.cycle}: the training group ended: {_text(self._errors[0])}"
            ) from self._errors[0]
        if self._thread is not None and not self._thread.is_alive():
            raise _GroupLost("its workers ended without an answer")
        limit = self.config.train.max_failures
        if starts - 1 > limit:
            message = f"cycle {plan.cycle}: training failed {starts - 1} times (train.max_failures is {limit})"
            raise RayALError(f"{message}; last error: {error or 'a worker process died'}")

    def _check_silence(self, plan: TrainPlan, silent_s: float, tell: Tell) -> None:
        """Tell of a group that gives no sign of life, and give up on it in the end."""
        workers, limit = self.config.train.workers, self.config.cluster.start_timeout_s
        if silent_s < SAY_SECONDS:
            return
        tell(
            f"waiting for {workers} training workers to start, {silent_s // SAY_SECONDS * SAY_SECONDS:.0f} s"
        )
        if silent_s > ELASTIC_SECONDS and self._lived and isinstance(workers, tuple):
            raise _GroupLost(f"no workers were started anew for {ELASTIC_SECONDS:.0f} s")
        if silent_s > limit:
            raise ClusterError(
                f"cycle {plan.cycle}: no group of training workers (train.workers={workers}) started within cluster.start_timeout_s={limit:g} s; "
                "look at `ray status` for what takes the CPUs and GPUs, free them or add nodes, then resume"
            )

    def _fit(self, mailbox: str, name: str, errors: list[BaseException]) -> None:
        """Start a group and wait for its end; `errors` are this group's own, as the next one may have started by then."""
        try:
            from ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator import (
                get_or_create_autoscaling_coordinator,
            )

            from ray_al.train.controller import share_environment

            share_environment()
            if isinstance(self.config.train.workers, tuple):
                # Ray ties what counts free resources to the node that asks for it first: this one, without which the run is lost anyway.
                get_or_create_autoscaling_coordinator()
            self._torch_trainer(mailbox, name).fit()
        except BaseException as error:  # raised by the thread that waits in train()
            errors.append(error)

    def _torch_trainer(self, mailbox: str, name: str) -> Any:
        import ray
        from ray.train import FailureConfig, ScalingConfig
        from ray.train import RunConfig as TrainRunConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        from ray_al.train.controller import Introduce
        from ray_al.train.worker import worker_loop

        train, namespace = self.config.train, ray.get_runtime_context().namespace
        gpus = train.gpus_per_worker
        resources = {"CPU": 1, "GPU": gpus} if gpus else {"CPU": 0.5}
        workers = train.workers if isinstance(train.workers, int) else tuple(train.workers)
        starts = int(
            self.config.cluster.start_timeout_s / TRAIN_START_SECONDS
        )  # Train counts each try to place the group as a failure
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
            run_config=TrainRunConfig(
                name=name,
                storage_path=join_uri(self.run_uri, ".ray_train"),
                failure_config=FailureConfig(
                    max_failures=-1, controller_failure_limit=3 + starts, max_preemption_failures=-1
                ),
                callbacks=[Introduce(mailbox, namespace)],
            ),
        )


class _GroupLost(RayALError):
    """A group that cannot go on, where another one may."""


def _never() -> bool:
    return False


def _unheard(waiting: str) -> None:
    return None


def _text(error: BaseException) -> str:
    return " ".join(str(error).split())[-2000:] or type(error).__name__


def open_trainer(config: RunConfig, run_uri: str, attempt: int, *, kind: str = "train") -> Trainer:
    """The trainer that `train.workers` asks for; 0 trains in this process.

    Args:
        attempt: the driver's term.
        kind: what is trained; with the run and the attempt it names the group on the cluster, where other runs have groups too.
    """
    if config.train.workers == 0:
        return LocalTrainer(config, run_uri)
    digest = hashlib.sha256(Storage(run_uri).root.encode()).hexdigest()[:12]
    return RayTrainer(config, run_uri, run_name=f"{kind}-{digest}-{attempt}")
