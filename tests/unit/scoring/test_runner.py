"""Reading results that may never come, without a cluster."""

import threading
from typing import Any

import pytest

from ray_al.core.config import parse_config
from ray_al.core.errors import ClusterError, Interrupted
from ray_al.scoring import runner


class Dataset:
    """Gives what it has, then waits (None), raises, or ends."""

    def __init__(self, *batches):
        self.batches, self.never = batches, threading.Event()

    def iter_batches(self, **options):
        for batch in self.batches:
            if isinstance(batch, BaseException):
                raise batch
            if batch is None:
                self.never.wait(20)
            else:
                yield batch


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(runner, "POLL_S", 0.01)
    monkeypatch.setattr(runner, "LOOK_S", 0.05)


def watched(*batches, watch=lambda silent_s: None, start_timeout_s=0.1):
    config = parse_config({"cluster": {"start_timeout_s": start_timeout_s}}, source="test")
    return runner._watched(Dataset(*batches), config, watch)


def test_batches_come_in_their_order_and_errors_as_they_are():
    assert list(watched({"a": 1}, {"a": 2})) == [{"a": 1}, {"a": 2}]
    with pytest.raises(ZeroDivisionError):
        list(watched({"a": 1}, ZeroDivisionError()))


def test_a_stop_ends_the_wait_for_a_batch():
    def stop(silent_s):
        raise Interrupted("interrupted")

    with pytest.raises(Interrupted):
        list(watched(None, watch=stop))


def test_scorers_that_never_start_are_given_up_and_slow_ones_are_not(monkeypatch):
    asked: list[Any] = []
    told: list[Any] = []
    monkeypatch.setattr(runner, "_scores", lambda: len(asked) < 2 and not asked.append(1))
    with pytest.raises(ClusterError, match="no scorer started within cluster.start_timeout_s=0.1"):
        list(watched({"a": 1}, None, watch=told.append))
    assert len(asked) == 2
    assert told == sorted(told)
