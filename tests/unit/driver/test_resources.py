"""Whether a run fits into a cluster, before it starts."""

import pytest

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.driver import resources
from ray_al.driver.resources import check_fits, check_nodes
from ray_al.sweep.resources import runs_at_once

NODE_GROUP = resources.NODE_GROUP


def config(train=None, score=None):
    return parse_config({"train": train or {}, "scoring": score or {}}, source="test")


def node(cpus, gpus=0):
    return {"CPU": float(cpus), "GPU": float(gpus)}


FITS = {
    "the default": ({}, {}, [node(2)]),
    "two workers and a scorer on two CPUs": ({"workers": 2}, {}, [node(2)]),
    "more scorers than CPUs take turns": ({}, {"workers": 20}, [node(1)]),
    "an elastic group that can start small": ({"workers": [1, 8]}, {}, [node(1)]),
    "a trainer and a scorer on one GPU": (
        {"workers": 1, "gpus_per_worker": 0.6},
        {"gpus_per_worker": 0.4},
        [node(2, 1)],
    ),
    "scorers on GPUs need no CPU": ({}, {"gpus_per_worker": 1}, [node(0, 1)]),
    "a head without CPUs beside workers": ({"workers": 4}, {}, [node(0), node(2), node(2)]),
    "nothing of Ray but the host": (
        {"workers": 0, "gpus_per_worker": 1},
        {"workers": 0},
        [node(0)],
    ),
}


@pytest.mark.parametrize("name", FITS)
def test_what_fits_may_start(name):
    train, score, nodes = FITS[name]
    check_nodes(config(train, score), nodes)


REFUSED = {
    "more workers than CPUs": (
        {"workers": 6},
        {},
        [node(2)],
        "needs 3.5 CPUs and 0 GPUs at a time, the cluster has 2 and 0",
    ),
    "a GPU that is not there": (
        {"workers": 1, "gpus_per_worker": 1},
        {},
        [node(4)],
        "needs 1.5 CPUs and 1 GPUs at a time, the cluster has 4 and 0",
    ),
    "a scorer's GPU that is not there": (
        {},
        {"gpus_per_worker": 1},
        [node(4)],
        "scoring.gpus_per_worker=1",
    ),
    "the least of an elastic group": ({"workers": [3, 8]}, {}, [node(1)], "train.workers=(3, 8)"),
    "two GPUs of one node each": (
        {"workers": 1, "gpus_per_worker": 2},
        {},
        [node(8, 1), node(8, 1)],
        "no node has room",
    ),
    "shares that lie on one GPU each": (
        {"workers": 3, "gpus_per_worker": 0.6},
        {},
        [node(8, 2)],
        "no node has room",
    ),
    "half a CPU on nodes of none": (
        {"workers": 2},
        {},
        [node(0), node(0)],
        "the cluster has 0 and 0",
    ),
    "workers that no node can hold together": (
        {"workers": 3, "gpus_per_worker": 0.6},
        {},
        [node(1, 1), node(9, 1)],
        "no node has room",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_never_start_is_refused_with_the_numbers(name):
    train, score, nodes, words = REFUSED[name]
    with pytest.raises(ConfigError) as caught:
        check_nodes(config(train, score), nodes)
    assert words in str(caught.value)


def living(monkeypatch, *nodes, labels=None):
    found = [{"Alive": True, "Resources": one, "Labels": labels or {}} for one in nodes]
    for module in ("ray_al.driver.resources", "ray_al.sweep.resources"):
        monkeypatch.setattr(f"{module}.living_nodes", lambda: found)


def test_a_cluster_that_may_grow_is_not_refused(monkeypatch):
    big = config({"workers": 4, "gpus_per_worker": 1})
    living(monkeypatch, node(0), labels={NODE_GROUP: "head"})
    check_fits(big)
    assert runs_at_once([big], "auto") == 1
    assert runs_at_once([big], 3) == 3


def test_a_sweep_is_refused_what_a_run_is_refused(monkeypatch):
    living(monkeypatch, node(8, 1), node(8, 1))
    with pytest.raises(ConfigError, match="no node has room"):
        runs_at_once([config({"workers": 1, "gpus_per_worker": 2})], "auto")
    with pytest.raises(ConfigError, match="limits.at_once=9"):
        runs_at_once([config({"threads": 2})], 9)
