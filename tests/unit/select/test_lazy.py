import numpy as np
import pyarrow as pa
import pytest

from ray_al.core.strategy import LazyConfig
from ray_al.select.lazy import estimate_recall, last_scores, pick_images


def part(images, scores):
    return pa.table(
        {"image_index": pa.array(images, pa.int64()), "score": pa.array(scores, pa.float32())}
    )


def test_the_last_score_of_an_image_is_its_highest_in_the_latest_cycle_that_scored_it():
    latest = [part([0, 0, 2], [0.25, 0.5, 0.125])]
    earlier = [part([0, 1], [4.0, 0.75]), part([1, 2], [1.0, 8.0])]
    highest = last_scores([latest, earlier], np.ones(4, bool))
    assert highest[:3].tolist() == [0.5, 1.0, 0.125]
    assert np.isnan(highest[3])


def test_older_scores_are_only_read_for_images_without_later_ones():
    def unreadable():
        raise AssertionError("read")
        yield

    highest = last_scores(
        [[part([0, 2], [0.5, 0.125])], unreadable()], np.array([True, False, True])
    )
    assert highest[[0, 2]].tolist() == [0.5, 0.125]


def test_the_highest_and_the_unknown_are_picked_and_the_check_sample_is_of_the_others():
    highest = np.array([*np.linspace(0, 1, 100), np.nan, np.nan], dtype=np.float32)
    left = np.ones(102, bool)
    left[[99, 101]] = False
    picked, check = pick_images(highest, left, LazyConfig(share=0.3, check=0.2), seed=0, cycle=4)
    assert np.flatnonzero(picked).tolist() == [*range(69, 99), 100]
    assert 0 < check.sum() < 30
    assert not (check & (picked | ~left)).any()
    again = pick_images(highest, left, LazyConfig(share=0.3, check=0.2), seed=0, cycle=5)[1]
    assert (again != check).any()
    more = pick_images(highest[:90], left[:90], LazyConfig(share=0.3, check=0.2), seed=0, cycle=4)[
        1
    ]
    assert (
        more[:63].tolist() == check[:63].tolist()
    )  # an image's draw is its own, however many there are
    assert (
        pick_images(highest, left, LazyConfig(share=1.0, check=1.0), seed=0, cycle=4)[1].sum() == 0
    )


def test_the_recall_by_hand():
    left = np.ones(10, bool)
    picked, check = left.copy(), np.zeros(10, bool)
    picked[4:] = False
    check[[4, 5]] = True
    chosen = np.array(
        [0, 0, 1, 2, 3, 3, 4, 5]
    )  # 2 of 8 in the sample of 2 among 6 others: 4 more are missed
    assert estimate_recall(chosen, picked, check, left) == pytest.approx(8 / 12)
    assert estimate_recall(np.array([0, 1]), picked, check, left) == 1.0
    assert estimate_recall(chosen, picked, np.zeros(10, bool), left) is None
    assert estimate_recall(chosen, left, np.zeros(10, bool), left) == 1.0
    assert estimate_recall(np.zeros(0, int), picked, check, left) == 1.0


def test_the_estimate_is_right_on_average():
    rng = np.random.default_rng(0)
    left = np.ones(2000, bool)
    picked = np.arange(2000) < 800
    estimates, truths = [], []
    for _ in range(60):
        true = rng.choice(
            2000,
            400,
            replace=False,
            p=np.where(picked, 3.0, 1.0) / np.where(picked, 3.0, 1.0).sum(),
        )
        check = ~picked & (rng.random(2000) < 0.2)
        found = true[(picked | check)[true]]
        estimates.append(estimate_recall(found, picked, check, left))
        truths.append(len(found) / len(true))
    assert np.mean(estimates) == pytest.approx(np.mean(truths), abs=0.01)
