"""Addresses, drivers that die and waits, without a cluster."""

import contextlib
import signal
import socket
import subprocess
import sys
import time

import pytest

from ray_al.core.errors import ClusterError, ConfigError, RayALError
from ray_al.driver import host
from ray_al.driver.cluster import check_address


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
    with pytest.raises(ClusterError, match="no cluster answers there") as caught:
        check_address(address)
    assert time.monotonic() - start < 10
    assert caught.value.exit_code == 1


def test_the_doctor_finds_a_cluster_that_is_gone(monkeypatch):
    from ray_al import doctor

    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    finding = doctor._cluster()
    assert not finding.ok
    assert "no cluster answers there" in finding.found
    assert "unset RAY_ADDRESS" in finding.remedy


def test_addresses_that_ray_resolves_itself_and_an_open_port_pass():
    for address in ("", "auto", "local"):
        check_address(address)
    with socket.create_server(("127.0.0.1", 0)) as server:
        check_address(f"127.0.0.1:{server.getsockname()[1]}")


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

@click.group(cls=terminal.Group)
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
    from ray_al.driver.status import StatusFile, progress_line
    from ray_al.ledger import State

    status = StatusFile(Storage(str(tmp_path)))
    status.note(State(), "train", 0, 0, "waiting for 2 training workers to start, 10 s")
    assert progress_line(Storage(str(tmp_path))).endswith(
        ": waiting for 2 training workers to start, 10 s"
    )
    status.note(State(), "train", 1, 4)
    status.note(State(), "train", 4, 4)
    assert progress_line(Storage(str(tmp_path))).endswith(": train 4/4")


def test_the_note_of_a_cluster_that_is_gone_is_passed_over(monkeypatch):
    from ray._private import services

    from ray_al.driver.cluster import find_started

    noted = ["127.0.0.1:1"]
    monkeypatch.setattr(services, "find_bootstrap_address", lambda temporary: noted[0])
    assert find_started() is None
    with socket.create_server(("127.0.0.1", 0)) as server:
        noted[0] = f"127.0.0.1:{server.getsockname()[1]}"
        assert find_started() == noted[0]
