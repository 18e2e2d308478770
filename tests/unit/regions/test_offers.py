"""The pixels or windows that an image offers: each rule against a slow reference."""

import numpy as np
import pytest
from helpers.scored_images import SIZE, distance, scored_image

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.variants import OFFERS, ScoredImage
from ray_al.driver.check_strategy import check_strategy
from ray_al.regions.offers.apart import choose_in_order, free_pixels
from ray_al.regions.offers.herding import features_at, kernel_of
from ray_al.regions.offers.stratified import SMOOTHING
from ray_al.regions.pixels import Pixels
from ray_al.regions.sparse import nearest_native, to_native
from ray_al.regions.windows import Windows


def test_free_pixels_and_choice_in_order_against_all_distances():
    taken = np.array([0, 50, 395])
    free = free_pixels(*SIZE, radius=2, taken=taken)
    expected = [all(distance(one, other) > 2 for other in taken) for one in range(free.size)]
    assert free.ravel().tolist() == expected
    order = np.random.default_rng(0).permutation(free.size)
    chosen: list[int] = []
    for one in order.tolist():
        if expected[one] and all(distance(one, other) > 2 for other in chosen) and len(chosen) < 9:
            chosen.append(one)
    assert choose_in_order(order, free, n=9, radius=2).tolist() == chosen


def test_top_share_draws_from_the_best_and_from_all_of_them():
    offer = OFFERS.parse({"kind": "top_share", "share": 0.05})
    seen: set[int] = set()
    for seed in range(60):
        image = scored_image(0, limit=4, radius=0)
        ids = offer.choose(ScoredImage(**{**vars(image), "rng": np.random.default_rng(seed)}))
        seen |= set(ids.tolist())
    best = np.argsort(-scored_image(0).scores.ravel(), kind="stable")[
        : round(0.05 * SIZE[0] * SIZE[1])
    ]
    assert seen == set(best.tolist())


def slow_stratified(image, exponent, share, least):
    """The rule as its docstring has it, pixel by pixel."""
    classes, scores = image.classes.ravel(), image.scores.ravel()
    free = [
        all(distance(one, other) > image.radius for other in image.taken)
        for one in range(len(scores))
    ]
    queues, weights = {}, {}
    for name in sorted(set(classes.tolist())):
        members = [one for one in range(len(scores)) if classes[one] == name]
        if len(members) < least:
            continue
        best = sorted((one for one in members if free[one]), key=lambda one: (-scores[one], one))
        best = best[: max(image.limit, round(share * len(members)))]
        if best:
            queues[name] = image.rng.permutation(np.array(best)).tolist()
            weights[name] = (len(members) / len(scores) + SMOOTHING) ** -exponent
    chosen: list[int] = []
    while queues and len(chosen) < image.limit:
        names = sorted(queues)
        chances = np.array([weights[name] for name in names])
        name = names[int(image.rng.choice(len(names), p=chances / chances.sum()))]
        left = [
            one
            for one in queues[name]
            if all(distance(one, other) > image.radius for other in chosen)
        ]
        if left:
            chosen.append(left[0])
        else:
            del queues[name]
    for one in sorted(range(len(scores)), key=lambda one: (-scores[one], one)):
        if (
            len(chosen) < image.limit
            and free[one]
            and all(distance(one, other) > image.radius for other in chosen)
        ):
            chosen.append(one)
    return chosen


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("radius", [0, 2, 5])
def test_stratified_against_a_slow_reference(seed, radius):
    offer = OFFERS.parse({"kind": "stratified", "share": 0.2})
    taken = [30, 200]
    found = offer.choose(scored_image(seed, radius=radius, taken=taken, limit=8))
    assert found.tolist() == slow_stratified(
        scored_image(seed, radius=radius, taken=taken, limit=8), 0.5, 0.2, 16
    )


def test_stratified_offers_rare_classes_more_often_than_their_share():
    offer = OFFERS.parse({"kind": "stratified"})
    counts = np.zeros(3)
    for seed in range(200):
        image = scored_image(seed, limit=2, radius=0)
        counts += np.bincount(image.classes.ravel()[offer.choose(image)], minlength=3)
    shares = np.bincount(scored_image().classes.ravel()) / scored_image().classes.size
    wanted = (shares + SMOOTHING) ** -0.5
    np.testing.assert_allclose(counts / counts.sum(), wanted / wanted.sum(), atol=0.06)


def slow_herding(values, limit):
    covered, chosen = np.zeros(len(values)), []
    for _ in range(limit):
        gains = [
            np.maximum(values[:, one] - covered, 0).mean() if one not in chosen else -1
            for one in range(len(values))
        ]
        best = int(np.argmax(gains))
        chosen.append(best)
        covered = np.maximum(covered, values[:, best])
    return chosen


@pytest.mark.parametrize("seed", range(3))
def test_herding_against_loops(seed):
    image = scored_image(seed, limit=5, radius=0)
    ids = OFFERS.parse({"kind": "herding", "points": 40}).choose(image)
    again = scored_image(seed, limit=5, radius=0)
    drawn = np.sort(again.rng.permutation(SIZE[0] * SIZE[1])[:40])
    parts = []
    for one in again.features:
        native = (
            np.stack([to_native(channel, *SIZE) for channel in one])
            .reshape(len(one), -1)[:, drawn]
            .T
        )
        parts.append(native / np.linalg.norm(native, axis=1, keepdims=True))
    vectors = np.concatenate(parts, axis=1)
    np.testing.assert_allclose(features_at(again.features, drawn, *SIZE), vectors, atol=1e-5)
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    width = 2 * np.median(distances[np.triu_indices(40, 1)])
    values = np.exp(-((distances / width) ** 2))
    np.testing.assert_allclose(
        kernel_of(features_at(again.features, drawn, *SIZE)), values, atol=1e-4
    )
    assert ids.tolist() == drawn[slow_herding(values, 5)].tolist()


def test_herding_falls_back_on_scores_where_features_are_all_alike():
    image = scored_image(limit=4, radius=0)
    flat = ScoredImage(**{**vars(image), "features": (np.ones((3, 4, 4), dtype=np.float32),)})
    ids = OFFERS.parse({"kind": "herding", "points": 30}).choose(flat)
    assert len(ids) == 4
    rest = flat.scores.ravel()[ids[1:]]
    assert (np.diff(rest) <= 0).all()


def test_classes_of_native_pixels_are_those_of_their_cells():
    cells = np.arange(6).reshape(2, 3)
    native = nearest_native(cells, 5, 6)
    expected = [
        [cells[int((y + 0.5) * 2 / 5), int((x + 0.5) * 3 / 6)] for x in range(6)] for y in range(5)
    ]
    assert native.tolist() == expected
    assert Windows(radius=2).apart == 4 and Pixels(radius=2).apart == 2


def config_of(regions="pixels", frozen=False, **strategy):
    values = {
        "regions": {"kind": regions},
        "strategy": strategy,
        "model": {"name": "lraspp_mobilenet_v3_large", "frozen": frozen},
    }
    return parse_config({"data": {"image_size": [64, 64]}, **values}, source="test")


NOISE = {"acquisition": "bald", "passes": {"kind": "noise"}}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"regions": "grid", "acquisition": "bvsb", "offer": {"kind": "top_share"}},
            "for regions.kind='grid' every region is scored",
        ),
        ({"acquisition": "random", "offer": {"kind": "top_share"}}, "'random' looks at no image"),
        (
            {"acquisition": "bvsb", "offer": {"kind": "herding"}},
            "compares the backbone's features, which are not computed here",
        ),
        (
            {"acquisition": "bald", "offer": {"kind": "herding"}},
            "set model.frozen=true, or strategy.passes.kind to noise",
        ),
    ],
)
def test_offers_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        check_strategy(config_of(**settings), 5)


@pytest.mark.parametrize(
    "settings",
    [
        {"acquisition": "bvsb", "offer": {"kind": "stratified"}},
        {"regions": "windows", "acquisition": "ripu", "offer": {"kind": "top_share"}},
        {"acquisition": "bvsb", "frozen": True, "offer": {"kind": "herding"}},
        {**NOISE, "offer": {"kind": "herding"}},
    ],
)
def test_offers_that_work_pass(settings):
    check_strategy(config_of(**settings), 5)


def test_an_unknown_offer_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="top_share"):
        config_of(score="bvsb", offer={"kind": "top_shar"})


def test_a_score_that_compares_passes_with_the_plain_one_refuses_ensembles():
    with pytest.raises(
        ConfigError, match="'edald' compares passes with the plain prediction of one model"
    ):
        check_strategy(
            config_of(regions="grid", acquisition="edald", passes={"kind": "ensemble"}), 5
        )
