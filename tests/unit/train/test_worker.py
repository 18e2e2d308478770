"""A Ray Train worker as a plain class, with a mailbox that only takes notes."""

import pytest
import ray
from helpers.training import make_config, make_plan

from ray_al.core.errors import DataError, StoreUnavailableError
from ray_al.train import worker as module
from ray_al.train.loop import TrainStopped


class Method:
    def __init__(self, name: str, calls: list) -> None:
        self.name = name
        self.calls = calls

    def remote(self, *arguments):
        self.calls.append((self.name, *arguments))


class Notes:
    """A mailbox whose calls are kept in a list."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []

    def __getattr__(self, name: str) -> Method:
        return Method(name, self.calls)


def handle(monkeypatch, outcome, rank: int = 0):
    """Whether the worker continues after a plan that ends with `outcome`, and its calls."""

    def run(*arguments, **options):
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(ray, "get", lambda reference: reference)
    monkeypatch.setattr("ray_al.train.worker.CycleTrainer.__init__", lambda self, *arguments: None)
    monkeypatch.setattr("ray_al.train.worker.CycleTrainer.run", run)
    loop_config = {
        "config": make_config().model_dump(mode="json"),
        "run_uri": "memory://worker",
        "mailbox": "m",
        "namespace": "n",
    }
    notes = Notes()
    worker = module._Worker(loop_config, notes, rank, 1)
    try:
        return worker.handle(7, make_plan([])), notes.calls
    except Exception as error:
        return error, notes.calls


def test_rank_0_alone_reports_start_and_result(monkeypatch):
    assert handle(monkeypatch, "result") == (
        True,
        [("started", 7), ("put_answer", 7, 0, 1, "result")],
    )
    assert handle(monkeypatch, "result", rank=1) == (True, [])


@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_that_no_restart_mends_is_the_answer_of_any_rank(monkeypatch, rank):
    error = DataError("an image is broken")
    goes_on, calls = handle(monkeypatch, error, rank)
    assert goes_on is False
    assert calls[-1] == ("put_answer", 7, 0, 1, error)


@pytest.mark.parametrize(
    "error", [RuntimeError("a bug"), StoreUnavailableError("the store is away")]
)
def test_an_error_that_a_restart_may_mend_is_reported_and_raised(monkeypatch, error):
    raised, calls = handle(monkeypatch, error)
    assert raised is error
    assert calls[-1] == ("failed", 7, f"{type(error).__name__}: {error}")


def test_a_worker_that_was_stopped_ends_without_an_answer(monkeypatch):
    assert handle(monkeypatch, TrainStopped("stopped")) == (False, [("started", 7)])


def test_a_worker_whose_mailbox_is_lost_only_raises(monkeypatch):
    lost = ray.exceptions.RayActorError()
    assert handle(monkeypatch, lost) == (lost, [("started", 7)])
