"""The tasks that fill a store of features: short journals, and work for every worker."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers.records import run_created

from ray_al.core.config import parse_config
from ray_al.core.types import FileRef
from ray_al.driver.actions.embed import _tasks
from ray_al.driver.embedding import asks_for_mirror
from ray_al.features.plan import StorePlan
from ray_al.features.shards import Shards
from ray_al.ledger import State

SIZE = 10


def tasks_of(num_images, workers, done=()):
    config = parse_config({"scoring": {"workers": workers}}, source="test")
    created = run_created(manifest=FileRef.of("manifest.parquet", b"").as_dict())
    context = SimpleNamespace(
        config=config,
        state=State(created=created, embedded_shards=dict.fromkeys(done, "name"), attempt=1),
        pool=SimpleNamespace(broken=np.zeros(num_images, dtype=bool)),
        storage=SimpleNamespace(root="/run"),
    )
    source = SimpleNamespace(shards=Shards(config, [{}] * num_images, SIZE))
    num_shards = -(-num_images // SIZE)
    plan = StorePlan(views=(0, 1), num_shards=num_shards, num_images=num_images, num_bytes=0)
    return _tasks(context, source, plan)


@pytest.mark.parametrize(
    ("num_images", "workers", "num_tasks"),
    [(5, 1, 1), (75, 0, 4), (75, 1, 4), (165, 1, 5), (165, 3, 17), (100_000, 3, 625)],
)
def test_each_image_is_in_one_task(num_images, workers, num_tasks):
    tasks = tasks_of(num_images, workers)
    assert len(tasks) == num_tasks
    assert [task.start for task in tasks] == [0, *(task.stop for task in tasks[:-1])]
    assert tasks[-1].stop == num_images
    assert all(task.shard * SIZE == task.start and task.views == (0, 1) for task in tasks)


def test_what_is_recorded_is_in_no_task():
    tasks = tasks_of(165, 1, done={0, 5, 6, 16})
    spans = [(task.start, task.stop) for task in tasks]
    assert spans == [(10, 50), (70, 110), (110, 150), (150, 160)]
    assert not tasks_of(40, 1, done={0, 1, 2, 3})


@pytest.mark.parametrize(
    ("strategy", "asks"),
    [
        ({"acquisition": "equal"}, True),
        ({"acquisition": "entropy"}, False),
        ({"acquisition": "equal", "transforms": ["flip"]}, False),
    ],
    ids=str,
)
def test_mirrored_images_are_stored_where_scoring_reads_them(strategy, asks):
    assert asks_for_mirror(parse_config({"strategy": strategy}, source="test")) == asks
