"""Ctrl-C and SIGTERM: one line, exit code 130, and nothing half made, for every command."""

import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from ray_al.cli import main
from ray_al.datasets import synthetic
from ray_al.driver.host import DriverActor
from ray_al.driver.loop import Outcome

LONG = {
    "run": (["run", "c.yaml", "--out", "new"], "ray_al.driver.create.measure_batch_size"),
    "run, reading the pool": (
        ["run", "c.yaml", "--out", "new"],
        "ray_al.driver.checks.build_manifest",
    ),
    "run, writing": (
        ["run", "c.yaml", "--out", "new", "--set", "scoring.batch_size=2"],
        "ray_al.driver.create.Journal.append",
    ),
    "demo": (
        ["demo", "--out", "new", "--set", "cluster.host=process", "--set", "scoring.workers=0"],
        "ray_al.driver.create.check_pool",
    ),
    "sweep": (["sweep", "s.yaml", "--out", "new"], "ray_al.sweep.plan.check_pool"),
    "sweep, writing": (["sweep", "s.yaml", "--out", "new"], "ray_al.sweep.create.trial_file"),
    "datasets check": (["datasets", "check", "c.yaml"], "ray_al.datasets.check.look"),
    "compare": (["compare", "new", "--out", "new"], "ray_al.compare.places.read_runs"),
    "strategies": (["strategies"], "ray_al.driver.catalog.list_strategies"),
    "doctor": (["doctor"], "ray_al.doctor.diagnose"),
}
CONFIG = (
    "{data: {dataset: synthetic, num_images: 4, root: data}, "
    "budget: {start: 2, per_cycle: 2, amount: 4}, cluster: {host: process}, "
    "scoring: {workers: 0}}"
)


@pytest.mark.parametrize(
    ("name", "send"),
    [
        *((name, signal.SIGINT) for name in LONG),
        *((name, signal.SIGTERM) for name in ("run, writing", "datasets check")),
    ],
)
def test_a_signal_ends_every_command_in_one_line(name, send, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    synthetic.write_synthetic(str(tmp_path / "data"), num_images=4, seed=0)
    (tmp_path / "c.yaml").write_text(CONFIG)
    (tmp_path / "s.yaml").write_text(
        f"{{name: s, run: {CONFIG}, space: {{strategy.acquisition: [entropy]}}, seeds: [0]}}"
    )
    before = sorted(os.listdir(tmp_path))
    arguments, place = LONG[name]
    monkeypatch.setattr(
        place, lambda *arguments, **options: os.kill(os.getpid(), send) or signal.pause()
    )
    if place.endswith(".look"):  # in threads, as it is meant to be; signals come to the main thread
        monkeypatch.setattr(place, lambda *arguments, **options: os.kill(os.getpid(), send))
    monkeypatch.setattr(signal, "pause", lambda: pytest.fail("the signal was not heeded"))
    handler = signal.getsignal(signal.SIGTERM)
    done = CliRunner().invoke(main, arguments)
    assert (done.exit_code, done.output.splitlines()[-1]) == (130, "interrupted"), done.output
    assert sorted(os.listdir(tmp_path)) == before
    assert signal.getsignal(signal.SIGTERM) == handler


def test_scenes_that_were_cut_short_leave_nothing(tmp_path, monkeypatch):
    real, calls = synthetic.draw_scene, iter(range(3))

    def draw(*arguments):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(synthetic, "draw_scene", draw)
    with pytest.raises(KeyboardInterrupt):
        synthetic.write_synthetic(str(tmp_path / "data"), num_images=4, seed=0)
    assert os.listdir(tmp_path) == []


def test_of_two_that_draw_the_same_scenes_both_find_them_whole(tmp_path, monkeypatch):
    real, root = synthetic.draw_scene, str(tmp_path / "data")

    def draw(*arguments):
        monkeypatch.setattr(synthetic, "draw_scene", real)
        synthetic.write_synthetic(
            root, num_images=4, seed=0
        )  # another process, which is done first
        return real(*arguments)

    monkeypatch.setattr(synthetic, "draw_scene", draw)
    synthetic.write_synthetic(root, num_images=4, seed=0)
    assert os.listdir(tmp_path) == ["data"]
    assert len(os.listdir(f"{root}/train")) == 4


def test_scenes_that_cannot_be_put_in_place_are_an_error(tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(OSError):
        synthetic.write_synthetic(str(tmp_path / "data"), num_images=4, seed=0)
    assert os.listdir(tmp_path) == ["data"]


def test_whoever_looks_on_stops_nobody(monkeypatch):
    stopped = {}

    def run_loop(run_uri, *, should_stop):
        stopped[run_uri] = should_stop
        return Outcome("finished")

    monkeypatch.setattr("ray_al.driver.host.run_loop", run_loop)
    actor = DriverActor("run")
    actor.run("first")
    actor.request_stop("second")
    assert not stopped["run"]()
    actor.request_stop("first")
    assert stopped["run"]()
    actor.request_stop("third")  # before its own call has begun, as the actor is still starting
    actor.run("third")
    assert stopped["run"]()


@pytest.mark.slow
@pytest.mark.parametrize("send", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_while_a_run_is_made_leaves_nothing(send, tmp_path):
    (tmp_path / "c.yaml").write_text(
        "{data: {dataset: synthetic, num_images: 400, root: data}, "
        "budget: {start: 2, per_cycle: 2, amount: 4}}"
    )
    command = [sys.executable, "-m", "ray_al.cli", "run", "c.yaml", "--out", "runs/x"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=env,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not list(tmp_path.glob(".data-*/train/00020.png")):  # it draws its scenes
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(send)
    assert process.communicate(timeout=60)[1].splitlines() == ["interrupted"]
    assert process.returncode == 130
    assert os.listdir(tmp_path) == ["c.yaml"]


@pytest.mark.parametrize("place", ["ends_on_signals", "click.Group.make_context"])
def test_an_interrupt_before_the_command_begins_is_one_line(place, monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"ray_al.terminal.{place}", interrupted)
    monkeypatch.setattr(sys, "argv", ["ray-al", "strategies"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code, capsys.readouterr().err) == (130, "interrupted\n")
