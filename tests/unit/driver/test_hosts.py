"""Addresses, drivers that die and waits, without a cluster."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from ray_al.core.config import parse_config
from ray_al.core.errors import ClusterError, ConfigError, RayALError
from ray_al.driver import cluster, host
from ray_al.driver.cluster import HTTP2_GREETING, HTTP2_SETTINGS, check_address
from ray_al.train.ray_trainer import RayTrainer


@pytest.mark.parametrize(
    "address",
    ["ray://head:10001", "http://head:8265", "head", "head:", "head:port", "anyscale://x"],
)
def test_an_address_that_is_no_heads_is_refused_in_one_line(address):
    with pytest.raises(ConfigError, match="HOST:PORT") as caught:
        check_address(address)
    assert f"RAY_ADDRESS={address}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999", "no-such-host.invalid:6379"])
def test_a_cluster_that_is_gone_is_named_at_once(address):
    start = time.monotonic()
    with pytest.raises(ConfigError, match="no cluster answers there") as caught:
        check_address(address)
    assert time.monotonic() - start < 10
    assert caught.value.exit_code == 2


def serve_once(server, answer):
    """Accept one connection, read the greeting, send `answer` and keep the connection open."""
    link, _ = server.accept()
    link.recv(len(HTTP2_GREETING))
    link.sendall(answer)
    return link


@pytest.mark.parametrize(
    ("answer", "words"),
    [(b"", "no answer within 0.2 s"), (b"HTTP/1.1 400 Bad Request", "no head of a Ray cluster")],
    ids=["stopped", "another server"],
)
def test_what_accepts_a_connection_and_is_no_head_is_refused(monkeypatch, answer, words):
    monkeypatch.setattr(cluster, "ANSWER_S", 0.2)
    with ThreadPoolExecutor(1) as pool, socket.create_server(("127.0.0.1", 0)) as server:
        link = pool.submit(serve_once, server, answer)
        with pytest.raises(ConfigError, match=f"no cluster answers there.*{words}"):
            check_address(f"127.0.0.1:{server.getsockname()[1]}")
        link.result().close()


def test_the_doctor_finds_a_cluster_that_is_gone(monkeypatch):
    from ray_al import doctor

    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    finding = doctor._cluster()
    assert not finding.ok
    assert "no cluster answers there" in finding.found
    assert "unset RAY_ADDRESS" in finding.remedy


def test_a_wait_for_workers_says_for_what_and_how_long():
    told: list[str] = []
    values = {
        "train": {"workers": 4, "gpus_per_worker": 1},
        "cluster": {"start_timeout_s": 600},
    }
    trainer = SimpleNamespace(config=parse_config(values, source="test"), _lived=False)
    plan = SimpleNamespace(cycle=0)
    RayTrainer._check_silence(trainer, plan, 5.0, told.append)
    RayTrainer._check_silence(trainer, plan, 27.0, told.append)
    assert told == [
        "waiting for 4 training workers with 1 GPUs each to start, 20 s of at most 600 s"
    ]
    with pytest.raises(ClusterError, match="train.workers=4.*start_timeout_s=600.*ray status"):
        RayTrainer._check_silence(trainer, plan, 601.0, told.append)


def test_a_wait_for_the_driver_says_how_long_it_will_last(monkeypatch):
    import ray

    monkeypatch.setattr(ray, "wait", lambda references, timeout: ([], references))
    config = parse_config({"cluster": {"start_timeout_s": 600}}, source="test")
    head = SimpleNamespace(gone_s=lambda: 0.0)
    started = time.monotonic() - 25
    assert host._waiting(object(), started, config, head) == (
        "waiting for the cluster to start the driver, 20 s of at most 600 s"
    )
    with pytest.raises(ClusterError, match="start_timeout_s=600"):
        host._waiting(object(), started - 600, config, head)


def test_addresses_that_ray_resolves_itself_and_a_head_that_answers_pass():
    for address in ("", "auto", "local"):
        check_address(address)
    with ThreadPoolExecutor(1) as pool, socket.create_server(("127.0.0.1", 0)) as server:
        link = pool.submit(serve_once, server, HTTP2_SETTINGS)
        check_address(f"127.0.0.1:{server.getsockname()[1]}")
        link.result().close()


@pytest.mark.parametrize(
    ("facts", "follows"),
    [([3, 3, 3, 3], 3), ([3, 3, 4, 4, 4], 4)],
    ids=["no progress", "some progress"],
)
def test_a_driver_that_dies_again_and_again_is_given_up(monkeypatch, facts, follows):
    import ray

    deaths = []

    def die(*arguments):
        deaths.append(1)
        raise ray.exceptions.ActorDiedError()

    counts = iter(facts)
    monkeypatch.setattr(host, "HeadWatch", contextlib.nullcontext)
    monkeypatch.setattr(host, "_start_actor", lambda uri: None)
    monkeypatch.setattr(host, "is_private", lambda: False)
    monkeypatch.setattr(host, "_num_facts", lambda uri: next(counts))
    monkeypatch.setattr(host, "_follow", die)
    monkeypatch.setattr(host, "POLL_S", 0)
    with pytest.raises(RayALError, match="died 3 times without getting any further"):
        host._run_in_actor("run", None, lambda: False, lambda waiting: None)
    assert len(deaths) == follows


def test_a_stop_ends_a_driver_that_dies_again_and_again(monkeypatch):
    import ray

    def die(*arguments):
        raise ray.exceptions.ActorDiedError()

    monkeypatch.setattr(host, "HeadWatch", contextlib.nullcontext)
    monkeypatch.setattr(host, "_start_actor", lambda uri: None)
    monkeypatch.setattr(host, "is_private", lambda: False)
    monkeypatch.setattr(host, "_num_facts", lambda uri: 1)
    monkeypatch.setattr(host, "_follow", die)
    assert host._run_in_actor("run", None, lambda: True, lambda waiting: None).kind == "interrupted"


STUCK = """
import sys, time
import click
from ray_al import terminal
terminal.STOP_S = 1.0

@click.group(cls=terminal.CommandGroup)
def main(): pass

@main.command()
def raises():
    print("ready", flush=True)
    time.sleep(60)

@main.command()
def stuck():  # as a library that takes no notice of signals
    with terminal.stop_on_signals():
        print("ready", flush=True)
        while True:
            time.sleep(60)

main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["raises", "stuck"])
def test_a_signal_ends_a_command_with_130_and_one_line(command, number):
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK, command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors.startswith("interrupted")
    assert len(errors.splitlines()) == 1


def test_what_is_waited_for_is_shown_until_it_comes(tmp_path):
    from ray_al.core.storage import Storage
    from ray_al.driver.status import StatusFile, progress_line, read_live
    from ray_al.ledger import State

    storage = Storage(str(tmp_path))
    status = StatusFile(storage)
    status.note(State(), "train", 0, 0, "waiting for 2 training workers to start, 10 s")
    line = progress_line(read_live(storage))
    assert line.endswith(": waiting for 2 training workers to start, 10 s")
    status.note(State(), "train", 1, 4)
    status.note(State(), "train", 4, 4)
    assert progress_line(read_live(storage)).endswith(": train 4/4")


def test_the_note_of_a_cluster_that_is_gone_is_passed_over(monkeypatch):
    from ray._private import services

    from ray_al.driver.cluster import find_started

    noted = ["127.0.0.1:1"]
    monkeypatch.setattr(services, "find_bootstrap_address", lambda temporary: noted[0])
    assert find_started() is None
    with ThreadPoolExecutor(1) as pool, socket.create_server(("127.0.0.1", 0)) as server:
        link = pool.submit(serve_once, server, HTTP2_SETTINGS)
        noted[0] = f"127.0.0.1:{server.getsockname()[1]}"
        assert find_started() == noted[0]
        link.result().close()
