import numpy as np
import pytest

from ray_al.core.config import parse_config
from ray_al.core.errors import DataError
from ray_al.core.seeding import generator
from ray_al.core.types import FileRef
from ray_al.regions.windows import Windows, window_means
from ray_al.scoring.region_scores import score_table
from ray_al.scoring.shards import ShardImage, ShardTask

NONE = np.empty(0, dtype=np.int64)


def slow_means(values, radius):
    means = np.empty(values.shape)
    for y, x in np.ndindex(values.shape):
        means[y, x] = (
            values[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
            .astype(np.float64)
            .mean()
        )
    return means


@pytest.mark.parametrize("radius", [0, 1, 2, 9])
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (3, 7), (10, 9)])
def test_means_against_loops(size, radius):
    values = generator(size).random(size, dtype=np.float32)
    assert np.abs(window_means(values, radius) - slow_means(values, radius)).max() < 1e-6


def best_windows(scores, height, width, *, n, radius, taken):
    return Windows(per_image=n, radius=radius).best(scores, height, width, taken=taken)


def test_equal_windows_have_equal_means():
    values = np.full((40, 50), 0.1, dtype=np.float32)
    assert len(np.unique(window_means(values, 2))) == 1
    assert best_windows(values, 40, 50, n=3, radius=1, taken=NONE)[0].tolist() == [0, 3, 6]


@pytest.mark.parametrize("radius", [0, 1, 2])
def test_against_a_slow_greedy_choice(radius):
    rng = generator("windows", radius)
    scores = rng.integers(0, 9, (11, 14)).astype(np.float32)
    taken = np.array([0, 75])
    means, chosen = slow_means(scores, radius).astype(np.float32), taken.tolist()
    for i in sorted(range(154), key=lambda i: (-means.flat[i], i)):
        if len(chosen) < 10 and all(
            max(abs(i // 14 - j // 14), abs(i % 14 - j % 14)) > 2 * radius for j in chosen
        ):
            chosen.append(i)
    ids, values = best_windows(scores, 11, 14, n=8, radius=radius, taken=taken)
    assert ids.tolist() == chosen[2:]
    assert np.abs(values - means.flat[ids]).max() < 1e-6


def test_by_hand():
    scores = np.zeros((4, 7), dtype=np.float32)
    scores[0, 0], scores[2, 5] = 4, 9
    ids, values = best_windows(scores, 4, 7, n=1, radius=1, taken=NONE)
    assert (ids.tolist(), values.tolist()) == (
        [3 * 7 + 6],
        [9 / 4],
    )  # clipped to 4 pixels in the corner, so the highest mean over (2, 5)
    ids, values = best_windows(scores, 4, 7, n=1, radius=1, taken=ids)
    assert (ids.tolist(), values.tolist()) == ([0], [4 / 4])


@pytest.mark.parametrize("radius", [1, 2])
def test_windows_never_overlap_over_cycles_until_no_more_fit(radius):
    size = (13, 17)
    kind = Windows(per_image=3, radius=radius)
    regions, taken = kind.of_image(*size), NONE
    scores = generator("cycles").random(size)
    covered = np.zeros(size, dtype=int)
    while len(ids := kind.best(scores, *size, taken=taken)[0]):
        taken = np.concatenate([taken, ids])
        for region in ids.tolist():
            box = regions.box(region)
            covered[box.top : box.bottom, box.left : box.right] += 1
    assert covered.max() == 1
    assert len(taken) <= kind.num_regions(*size)


@pytest.mark.parametrize(
    "size, radius, expected",
    [((1, 1), 1, 1), ((3, 7), 1, 3), ((4, 7), 1, 6), ((10, 10), 0, 100), ((10, 11), 2, 6)],
)
def test_num_regions_is_how_many_fit(size, radius, expected):
    kind = Windows(radius=radius)
    assert kind.num_regions(*size) == expected == kind.of_image(*size).num_regions
    ids, _ = best_windows(np.ones(size), *size, n=1000, radius=radius, taken=NONE)
    assert len(ids) == expected  # equal scores are taken in reading order, which packs them


def test_windows_are_clipped_at_the_border():
    regions = Windows(radius=2).of_image(4, 9)
    assert regions.box(0).as_tuple() == (0, 0, 3, 3)
    assert regions.box(2 * 9 + 8).as_tuple() == (0, 6, 4, 9)
    assert regions.num_pixels[0] == 9


def test_scores_that_are_no_numbers_are_refused():
    scores = np.ones((5, 5))
    scores[2, 2] = np.nan
    with pytest.raises(DataError, match="not finite"):
        best_windows(scores, 5, 5, n=1, radius=1, taken=NONE)


def test_random_windows_do_not_favour_the_border():
    """A mean of noise varies more over a clipped window than over a whole one.

    Without the correction, 16 % of the highest are clipped; of all windows, 2 % are.
    """
    values = {
        "strategy": {"acquisition": "random"},
        "regions": {"kind": "windows", "radius": 1, "per_image": 50},
    }
    config, none = parse_config(values, source="test"), np.zeros(0, dtype=np.int64)
    rows = [
        {"image_index": i, "image_id": f"{i}.png", "height": 180, "width": 240, "num_regions": 4800}
        for i in range(40)
    ]
    images = [ShardImage(row=row, rest=none, taken=none) for row in rows]
    task = ShardTask(
        work="scores",
        shard=0,
        start=0,
        stop=40,
        images=b"",
        regions=b"",
        cycle=0,
        seed=0,
        run_uri="",
        manifest=FileRef.of("m", b""),
        weights=(),
        output="",
        attempt=1,
    )
    table, _ = score_table(task, config, images)
    y, x = np.divmod(table["region"].to_numpy(), 240)
    clipped = (y == 0) | (y == 179) | (x == 0) | (x == 239)
    assert len(table) == 2000
    assert clipped.mean() < 0.03
