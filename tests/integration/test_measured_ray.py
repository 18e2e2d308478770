"""Measured models on Ray: equal for every host, and trained by the workers of the cycles."""

import pytest
from helpers.measured import configure
from helpers.run_reading import events_of, state_of

from ray_al.core.storage import Storage
from ray_al.driver.create import create_run
from ray_al.driver.host import run as host_run
from ray_al.driver.loop import run_loop
from ray_al.driver.verify import verify


@pytest.mark.slow
def test_a_driver_actor_with_workers_measures_what_one_process_does(cluster, data, tmp_path):
    alone = create_run(configure(data), str(tmp_path / "alone"))
    run_loop(alone)
    changes = {"cluster": {"host": "actor"}, "train": {"workers": 1}, "scoring": {"workers": 1}}
    spread = create_run(configure(data, **changes), str(tmp_path / "spread"))
    assert host_run(spread, should_stop=lambda: False).kind == "finished"
    for kind in ("models_measured", "model_measured"):
        facts = [
            [
                {key: value for key, value in one.items() if "seconds" not in key}
                for one in events_of(run, kind)
            ]
            for run in (alone, spread)
        ]
        assert facts[0] == facts[1]
    queries = [
        [Storage(run).read(query.file.path) for query in state_of(run).queries]
        for run in (alone, spread)
    ]
    assert queries[0] == queries[1]
    verify(spread)


@pytest.mark.slow
def test_two_workers_measure_and_write_nothing(cluster, data, tmp_path):
    run = create_run(
        configure(data, train={"workers": 2}, final={"train": {"steps": 3, "batch_size": 4}}),
        str(tmp_path / "run"),
    )
    assert run_loop(run).kind == "finished"
    assert len(events_of(run, "model_measured")) == 4
    assert not list((tmp_path / "run").rglob("measured-*"))
    verify(run)
