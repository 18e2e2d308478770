import threading

import pytest
import torch

from ray_al.core.errors import DataError
from ray_al.train.ahead import BatchesAhead


@pytest.fixture
def made():
    return []


def maker(made):
    def make(step):
        made.append((step, threading.current_thread() is threading.main_thread()))
        if step == 3:
            raise DataError("broken")
        return step * 10

    return make


def test_on_a_cpu_batches_are_made_when_they_are_asked_for(made):
    with BatchesAhead(maker(made), torch.device("cpu")) as batches:
        assert [batches.get(step, 3) for step in range(3)] == [0, 10, 20]
    assert made == [(0, True), (1, True), (2, True)]


def test_on_a_gpu_the_next_one_is_made_meanwhile_and_none_beyond_the_last(made):
    with BatchesAhead(maker(made), torch.device("cuda")) as batches:
        assert [batches.get(step, 3) for step in range(3)] == [0, 10, 20]
    assert made == [(0, True), (1, False), (2, False)]


def test_what_is_wrong_with_a_batch_is_raised_by_its_own_step(made):
    with BatchesAhead(maker(made), torch.device("cuda")) as batches:
        assert batches.get(2, 5) == 20
        with pytest.raises(DataError, match="broken"):
            batches.get(3, 5)
