"""Whole runs with a frozen backbone whose features are stored, lost, damaged, outdated or absent.

The queries are always the same.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import small_runs
from helpers.own_stores import OPEN
from helpers.paths import TESTS, python_path
from helpers.run_reading import queries, state_of

from ray_al.core.config import parse_config
from ray_al.core.errors import RayALError
from ray_al.core.storage import Storage
from ray_al.datasets.synthetic import write_synthetic
from ray_al.driver.create import create_run
from ray_al.driver.fork import fork_run, start_config
from ray_al.driver.loop import run_loop
from ray_al.driver.settings import change_settings
from ray_al.driver.status import read_live
from ray_al.driver.verify import verify
from ray_al.features import shards as shards_module
from ray_al.ledger import Journal
from ray_al.ledger.config import read_config
from ray_al.sweep.trial import host_trial, share_features

pytestmark = pytest.mark.usefixtures("small_shards")

SETTINGS: dict[str, Any] = {
    "data": {"dataset": "synthetic", "image_size": [32, 48], "cache_gb": 0},
    "model": {"kind": "composed", "backbone": {"kind": "helpers.tiny_backbones:TinyBackbone"}},
    "regions": {"rows": 2, "columns": 2},
    "train": {"steps": 3, "batch_size": 2, "workers": 0, "threads": 1},
    "strategy": {"acquisition": "entropy"},
    "scoring": {**small_runs.SETTINGS["scoring"], "max_quarantined": 0.3},
    "budget": {"start": 6, "per_cycle": 4, "amount": 14},
    "cluster": {"host": "process"},
    "report": {"num_images": 0},
}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes")
    write_synthetic(str(root / "data"), num_images=10, seed=0)
    return root


@pytest.fixture(scope="module")
def reference(scenes):
    """A run to which nothing happened."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards_module, "SHARD", 3)
        return finish(make(scenes, "reference"))


@pytest.fixture
def root(tmp_path, scenes):
    shutil.copytree(scenes / "data", tmp_path / "data")
    return tmp_path


def make(root, name="run", **changes) -> str:
    values = small_runs.changed(SETTINGS, root, changes)
    return create_run(parse_config(values, source="test"), str(root / name))


def kinds(run_dir):
    return [event.kind for event in Journal(Storage(run_dir)).events]


def weights(run_dir):
    return [model.model.sha256 for model in state_of(run_dir).trained.values()]


def finish(run_dir) -> str:
    assert run_loop(run_dir).kind == "finished"
    verify(run_dir)
    return run_dir


def until_trained(run_dir, cycle=0) -> None:
    """Carry a run on to the end of a training."""
    seen: list[Any] = []

    def stop():
        return bool(seen)

    run_loop(
        run_dir,
        should_stop=stop,
        on_trained=lambda state: seen.append(1) if cycle in state.trained else None,
    )
    assert cycle in state_of(run_dir).trained and state_of(run_dir).finished is None


def files(run_dir) -> dict[str, bytes]:
    folder = Path(run_dir) / "features"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.npy")}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:700])


def test_a_run_fills_the_store_once_before_it_trains(reference):
    state, seen = state_of(reference), kinds(reference)
    assert seen.index("pool_embedded") < seen.index("cycle_trained")
    assert seen.count("pool_embedded") == 1 and seen.count("shards_embedded") == 4
    assert state.embedded.num_images == 10 and state.embedded.views == (0, 1, 2, 3)
    record = 2 * 4 * (8 * 12 + 4 * 6)
    assert state.embedded.num_bytes == 40 * record
    assert len(files(reference)) >= 16  # four shards of four views; and what evaluation stored


def test_queries_are_the_same_whatever_the_store_is(root, reference):
    expected = queries(reference), weights(reference)
    none = finish(make(root, "none", features={"store": {"kind": "none"}}))
    assert (queries(none), weights(none)) == expected and "pool_embedded" not in kinds(none)
    small = make(root, "small", features={"store": {"kind": "files", "limit_gb": 5000 / 2**30}})
    finish(small)
    assert (queries(small), weights(small)) == expected and state_of(small).embedded.num_images < 10
    shared = {"store": {"kind": "files", "root": f"{reference}/features"}}
    inodes = {path: path.stat().st_ino for path in (Path(reference) / "features").rglob("*.npy")}
    again = finish(make(root, "shared", features=shared))
    assert (queries(again), weights(again)) == expected
    assert {
        path: path.stat().st_ino for path in (Path(reference) / "features").rglob("*.npy")
    } == inodes


@pytest.mark.slow
def test_a_store_of_ones_own(root, reference):
    run_dir = finish(make(root, features={"store": {"kind": "helpers.own_stores:OwnStore"}}))
    assert queries(run_dir) == queries(reference)
    assert set(state_of(run_dir).embedded_shards.values()) <= set(OPEN.shards)
    assert not files(run_dir)


@pytest.mark.slow
def test_runs_of_a_sweep_share_what_is_stored(root, reference):
    config = read_config(Storage(reference))
    config = config.model_copy(
        update={"data": config.data.model_copy(update={"root": str(root / "data")})}
    )
    sweep, (start, *runs) = (
        str(root / "sweep"),
        [str(root / "sweep" / name) for name in ("starts/a", "runs/b", "runs/c")],
    )
    host_trial(
        start,
        share_features(start_config(config), sweep),
        start=None,
        rungs=[],
        report=lambda row: None,
    )
    for run_dir in runs:
        host_trial(
            run_dir, share_features(config, sweep), start=start, rungs=[], report=lambda row: None
        )
    assert not any(files(run_dir) for run_dir in (start, *runs))
    assert all(queries(run_dir) == queries(reference) for run_dir in runs)
    assert files(sweep) == files(reference)


@pytest.mark.slow
def test_a_whole_sweep_shares_what_is_stored(root, reference):
    values = read_config(Storage(reference)).model_dump(mode="json", exclude={"name", "seed"})
    values["data"]["root"] = str(root / "data")
    file, out = root / "sweep.yaml", root / "sweep"
    file.write_text(
        yaml.safe_dump(
            {
                "name": "s",
                "run": values,
                "seeds": [0],
                "space": {"strategy.acquisition": ["entropy", "margin"]},
            }
        )
    )
    command = [sys.executable, "-m", "ray_al.cli", "sweep", str(file), "--out", str(out)]
    ended = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ended.returncode == 0, ended.stderr
    runs = sorted((out / "runs").iterdir())
    assert len(runs) == 3 and not any(files(run_dir) for run_dir in runs)
    folders = {name.split("/")[0] for name in files(out)}
    assert len(folders) == 4
    assert all(state_of(str(run_dir)).embedded.num_images == 10 for run_dir in runs)


@pytest.mark.parametrize(
    "loss",
    [
        "half",
        pytest.param("all", marks=pytest.mark.slow),
        pytest.param("damaged", marks=pytest.mark.slow),
    ],
)
def test_what_is_lost_is_made_again_when_a_run_goes_on(root, reference, loss):
    run_dir = make(root)
    until_trained(run_dir)
    before = files(run_dir)
    for number, path in enumerate(sorted((Path(run_dir) / "features").rglob("*.npy"))):
        if loss == "damaged":
            cut(path)
        elif loss == "all" or number % 2:
            path.unlink()
    finish(run_dir)
    assert queries(run_dir) == queries(reference)
    if loss == "damaged":  # which is noticed when it is read
        assert "features_outdated" not in kinds(run_dir)
    else:
        assert (
            kinds(run_dir).count("pool_embedded") == 2 and before.items() <= files(run_dir).items()
        )


def test_a_run_that_was_killed_in_the_stage_does_the_rest(root, reference, monkeypatch):
    run_dir = make(root)
    from ray_al.features import fill

    real = fill.fill_shard
    done: list[Any] = []

    def dies(source, store, shard, views, threads=1):
        if len(done) == 2:
            assert read_live(Storage(run_dir))["stage"] == "embed"
            raise KeyboardInterrupt
        done.append(shard)
        return real(source, store, shard, views, threads)

    monkeypatch.setattr("ray_al.scoring.embed.fill_shard", dies)
    with pytest.raises(KeyboardInterrupt):
        run_loop(run_dir)
    (Path(run_dir) / "lease.json").unlink(missing_ok=True)
    assert set(state_of(run_dir).embedded_shards) == {0, 1} and state_of(run_dir).embedded is None
    done.clear()
    monkeypatch.setattr(
        "ray_al.scoring.embed.fill_shard",
        lambda *arguments: (done.append(arguments[2]), real(*arguments))[1],
    )
    finish(run_dir)
    assert done == [2, 3]
    assert queries(run_dir) == queries(reference) and files(run_dir) == files(reference)


def test_broken_images_are_quarantined_by_the_stage_and_come_back(root):
    paths = [root / "data" / "train" / f"{number:05d}.png" for number in (1, 7)]
    whole = [path.read_bytes() for path in paths]
    run_dir = make(root)
    for path in paths:
        cut(path)
    # An image that was chosen is opened before it is labelled; the stage finds the others.
    until_trained(run_dir)
    assert set(state_of(run_dir).quarantined) == {"train/00001.png", "train/00007.png"}
    for path, data in zip(paths, whole, strict=True):
        path.write_bytes(data)
    finish(run_dir)
    state = state_of(run_dir)
    assert not state.quarantined and set(state.restored) == {"train/00001.png", "train/00007.png"}
    (outdated,) = [
        event.data["shards"]
        for event in Journal(Storage(run_dir)).events
        if event.kind == "features_outdated"
    ]
    assert outdated == [0, 2]
    assert kinds(run_dir).count("pool_embedded") == 2


def test_too_many_broken_images_stop_the_stage(root):
    run_dir = make(root)
    for number in range(4):
        cut(root / "data" / "train" / f"{number:05d}.png")
    with pytest.raises(RayALError, match="max_quarantined"):
        run_loop(run_dir)


def test_an_image_that_breaks_after_it_was_stored_is_left_out(root):
    run_dir = make(root)
    until_trained(run_dir)
    labelled = {name for query in state_of(run_dir).queries for name in _images(run_dir, query)}
    unlabelled = next(
        f"train/{number:05d}.png"
        for number in range(10)
        if f"train/{number:05d}.png" not in labelled
    )
    cut(root / "data" / unlabelled)
    finish(run_dir)
    assert set(state_of(run_dir).quarantined) == {unlabelled}
    last = state_of(run_dir).queries[-2:]
    assert unlabelled not in {name for query in last for name in _images(run_dir, query)}


def _images(run_dir, query):
    from ray_al.driver.pool import read_table

    return read_table(Storage(run_dir), query.file).column("image_id").to_pylist()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["moved", "copied"])
def test_moved_data_leave_queries_and_features_as_they_are(root, reference, how):
    run_dir = make(root)
    until_trained(run_dir)
    if how == "moved":
        os.rename(root / "data", root / "elsewhere")
    else:
        shutil.copytree(root / "data", root / "elsewhere", copy_function=shutil.copyfile)
        shutil.rmtree(root / "data")
    change_settings(run_dir, [f"data.root={root / 'elsewhere'}"])
    finish(run_dir)
    assert queries(run_dir) == queries(reference)
    assert kinds(run_dir).count("pool_embedded") == 2  # looked at again
    before, after = files(reference), files(run_dir)
    assert (
        after == before if how == "moved" else len(after) > len(before)
    )  # copies have other times of change


@pytest.mark.slow
def test_the_store_may_move_and_grow(root, reference):
    run_dir = make(root, features={"store": {"kind": "files", "limit_gb": 5000 / 2**30}})
    until_trained(run_dir)
    assert state_of(run_dir).embedded.num_images == 3
    change_settings(run_dir, ["features.store.limit_gb=1", f"features.store.root={root / 'kept'}"])
    finish(run_dir)
    assert queries(run_dir) == queries(reference)
    assert state_of(run_dir).embedded.num_images == 10
    assert len({path.parent for path in (root / "kept").rglob("*.npy")}) == 4


@pytest.mark.slow
def test_a_fork_takes_over_what_is_stored_and_makes_what_is_not(root, reference):
    start = make(
        root,
        "start",
        budget={"start": 6, "per_cycle": 4, "amount": 10},
        features={"store": {"kind": "files", "least_passes": 1}},
    )
    until_trained(start)
    config = read_config(Storage(make(root, "model")))
    shared = fork_run(start, config, str(root / "fork"))
    finish(shared)
    assert kinds(shared).count("pool_embedded") == 2  # its own folder held none
    kept = config.features.model_copy(
        update={"store": config.features.store.model_copy(update={"root": f"{start}/features"})}
    )
    beside = fork_run(start, config.model_copy(update={"features": kept}), str(root / "beside"))
    finish(beside)
    assert kinds(beside).count("pool_embedded") == 1
    assert queries(shared) == queries(beside) == queries(reference)


def test_journals_with_a_wrong_event_of_the_stage_are_refused(root, reference):
    run_dir = shutil.copytree(reference, root / "run")
    (path,) = [
        path
        for path in (Path(run_dir) / "journal").glob("*.json")
        if '"pool_embedded"' in path.read_text()
    ]
    path.write_text(path.read_text().replace('"num_bytes": ', '"num_bytes": null, "was": '))
    with pytest.raises(RayALError, match="num_bytes is None"):
        verify(str(run_dir))


@pytest.mark.slow
def test_workers_on_ray_store_the_same_and_choose_the_same(cluster, tmp_path, monkeypatch):
    monkeypatch.undo()  # workers know shards of the usual size
    write_synthetic(str(tmp_path / "data"), num_images=150, seed=0)
    limits = {"scoring": {"shard_size": 40, "max_quarantined": 0.3}}
    alone = make(tmp_path, "alone", **limits)
    cut(tmp_path / "data" / "train" / "00149.png")
    finish(alone)
    assert len(state_of(alone).embedded_shards) == 3
    for number in (1, 3):
        run_dir = finish(
            make(tmp_path, f"workers-{number}", scoring={**limits["scoring"], "workers": number})
        )
        assert queries(run_dir) == queries(alone) and files(run_dir) == files(alone)
        assert set(state_of(run_dir).quarantined) == {"train/00149.png"}
        shared = {"store": {"kind": "files", "root": f"{alone}/features"}}
        beside = finish(
            make(
                tmp_path,
                f"beside-{number}",
                scoring={**limits["scoring"], "workers": number},
                features=shared,
            )
        )
        assert queries(beside) == queries(alone) and not files(beside)


KILLED = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
from ray_al.features import fill, shards
from ray_al.scoring import embed
import time
shards.SHARD = 3
real = fill.fill_shard
def slow(*arguments):
    time.sleep(1)
    return real(*arguments)
embed.fill_shard = slow
from ray_al.driver.loop import run_loop
run_loop(sys.argv[1])
"""


@pytest.mark.slow
def test_sigkill_in_the_stage(root, reference):
    run_dir = make(root)
    process = subprocess.Popen([sys.executable, "-c", KILLED, run_dir])
    deadline = time.monotonic() + 120
    while not state_of(run_dir).embedded_shards and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = set(state_of(run_dir).embedded_shards)
    assert done and len(done) < 4 and state_of(run_dir).embedded is None
    finish(run_dir)
    assert queries(run_dir) == queries(reference) and files(run_dir) == files(reference)
