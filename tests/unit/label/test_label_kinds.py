import numpy as np
import pytest

from ray_al.core.families.labels import LABELS
from ray_al.label.kinds.classes import classes
from ray_al.label.kinds.dense import dense
from ray_al.label.kinds.dominant import dominant

IDS = np.array([[2, 2, 1], [1, 0, 255]], np.uint8)
REGION = np.array([[True, False, False], [False, True, True]])
VOID = np.full((2, 3), 255, np.uint8)


def test_the_whole_box():
    assert dense(IDS).tolist() == IDS.tolist()
    assert dominant(IDS) == 1
    assert classes(IDS) == (0, 1, 2)


def test_only_the_region_is_looked_at():
    assert dense(IDS, REGION).tolist() == [[2, 255, 255], [255, 0, 255]]
    assert dense(IDS, REGION).dtype == np.uint8
    assert dominant(IDS, REGION) == 0
    assert classes(IDS, REGION) == (0, 2)


@pytest.mark.parametrize(("kind", "answer"), [("dominant", 255), ("classes", ())])
def test_all_void(kind, answer):
    label = LABELS.parse({"kind": kind})
    assert label.of_truth(VOID, None) == answer
    assert label.of_truth(VOID, REGION) == answer


def test_a_little_of_a_class_wins_over_much_void():
    ids = VOID.copy()
    ids[1, 1] = 7
    assert dominant(ids) == 7
    assert classes(ids) == (7,)


@pytest.mark.parametrize("seed", range(5))
def test_random_regions_against_counting(seed):
    rng = np.random.default_rng(seed)
    ids = rng.choice(np.array([0, 3, 18, 62, 254, 255], np.uint8), size=(7, 5))
    region = rng.random((7, 5)) < 0.6
    counts: dict[int, int] = {}
    for y in range(7):
        for x in range(5):
            if region[y, x] and ids[y, x] != 255:
                counts[int(ids[y, x])] = counts.get(int(ids[y, x]), 0) + 1
    assert classes(ids, region) == tuple(sorted(counts))
    assert dominant(ids, region) == min(counts, key=lambda value: (-counts[value], value))


def test_answers_are_native_values():
    assert type(dominant(IDS)) is int
    assert all(type(value) is int for value in classes(IDS))
