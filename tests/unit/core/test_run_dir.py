"""The names of a run directory, which scripts read, stay as they are."""

import pytest

from ray_al.core.run_dir import CycleDir, ResultDir, RunDir
from ray_al.ledger import Journal


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (RunDir.event(12), "journal/00000012.json"),
        (RunDir.MAPS_MANIFEST, "maps/manifest.parquet"),
        (CycleDir(-2).query(1), "cycles/seed/start.parquet"),
        (CycleDir(-1).query(1), "cycles/0000/start.parquet"),
        (CycleDir(-1).query(2), "cycles/0000/start-2.parquet"),
        (CycleDir(3).query(1), "cycles/0003/query.parquet"),
        (CycleDir(3).query(2), "cycles/0003/query-2.parquet"),
        (CycleDir(-1).labels(0), "cycles/start/labels/part-00000.parquet"),
        (CycleDir(3).labels(7), "cycles/0003/labels/part-00007.parquet"),
        (CycleDir(3).tasks(1), "cycles/0003/tasks"),
        (CycleDir(3).tasks(2), "cycles/0003/tasks-2"),
        (CycleDir(-1).scores, "cycles/start/scores"),
        (CycleDir(3).features, "cycles/0003/features"),
        (CycleDir(3).picked, "cycles/0003/picked.parquet"),
        (CycleDir(3).training().checkpoint, "cycles/0003/checkpoint"),
        (CycleDir(3).training(2).checkpoint, "cycles/0003/member-2/checkpoint"),
        (CycleDir(3).training(2).partial_checkpoint, "cycles/0003/member-2/progress.pt"),
        (CycleDir(3).measuring(0).partial_checkpoint, "cycles/0003/measured-0/progress.pt"),
        (ResultDir("final").metrics, "final/metrics.json"),
        (ResultDir("upper_bound").checkpoint, "upper_bound/checkpoint"),
        (ResultDir("final").models, "final/models.json"),
        (ResultDir("final").lease, "final/lease.json"),
    ],
)
def test_names_stay_as_they_are(name, expected):
    assert name == expected


def test_a_file_knows_its_cycle():
    assert [CycleDir.cycle_of(CycleDir(cycle).labels(1)) for cycle in (-1, 0, 12)] == [0, 0, 12]


def test_a_run_begins_with_its_first_event():
    assert RunDir.event(0) == Journal.FIRST
