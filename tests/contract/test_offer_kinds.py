"""Every offer passes one suite, a user's own too."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.own_variants import own
from helpers.scored_images import SIZE, distance, scored_image

from ray_al.core.config import parse_config
from ray_al.core.plain import load_yaml
from ray_al.core.variants import OFFERS, Offer, ScoredImage
from ray_al.regions.offers.apart import choose_in_order, free_pixels


class FromTheMiddle(Offer):
    """A user's own: the regions nearest to the image's middle."""

    row: float = 0.5

    def choose(self, image: ScoredImage) -> np.ndarray:
        height, width = image.scores.shape
        rows, columns = np.indices((height, width))
        far = np.abs(rows - self.row * height) + np.abs(columns - width / 2)
        free = free_pixels(height, width, radius=image.radius, taken=image.taken)
        order = np.argsort(far.ravel(), kind="stable")
        return choose_in_order(order, free, n=image.limit, radius=image.radius)


OWN = f"{__name__}:FromTheMiddle"
every_kind = pytest.mark.parametrize("kind", [*OFFERS.kinds, OWN, *own("strategy.offer")])


def offer_of(kind: str) -> Offer:
    return OFFERS.parse({"kind": kind})


@every_kind
@pytest.mark.parametrize("radius", [0, 1, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_offered_stays_apart_and_is_never_taken_again(kind, radius, seed):
    taken: list[int] = []
    for cycle in range(3):
        image = scored_image(10 * seed + cycle, radius=radius, taken=taken)
        ids = offer_of(kind).choose(image)
        assert ids.dtype == np.int64 and len(ids) <= 6
        for position, one in enumerate(ids.tolist()):
            assert 0 <= one < SIZE[0] * SIZE[1]
            others = [*taken, *ids[:position].tolist()]
            assert all(distance(one, other) > radius for other in others)
            assert one not in others
        taken += ids.tolist()
        assert len(ids) == 6 or not free_pixels(*SIZE, radius=radius, taken=np.array(taken)).any()


@every_kind
def test_the_same_image_offers_the_same(kind):
    offer = offer_of(kind)
    assert offer.choose(scored_image(3)).tolist() == offer.choose(scored_image(3)).tolist()


@every_kind
def test_an_image_without_room_offers_nothing(kind):
    offer = offer_of(kind)
    full = scored_image(taken=np.arange(SIZE[0] * SIZE[1]))
    assert offer.choose(full).tolist() == []
    one = scored_image(size=(1, 1), classes=np.zeros((1, 1), dtype=np.int64))
    assert offer.choose(one).tolist() == [0]


@every_kind
def test_an_image_gives_as_many_as_are_wanted_where_there_is_room(kind):
    assert len(offer_of(kind).choose(scored_image(limit=40, radius=1))) == 40


@every_kind
def test_it_does_without_what_it_does_not_say_that_it_reads(kind):
    offer, image = offer_of(kind), scored_image(3)
    assert offer.reads_classes in (True, False) and offer.reads_features in (True, False)
    least = replace(
        image,
        classes=image.classes if offer.reads_classes else None,
        features=image.features if offer.reads_features else (),
    )
    assert offer.choose(least).tolist() == offer.choose(scored_image(3)).tolist()


@every_kind
def test_the_image_is_left_as_it_was(kind):
    image, before = scored_image(3, taken=[50]), scored_image(3, taken=[50])
    offer_of(kind).choose(image)
    for name in ("scores", "taken", "classes"):
        assert np.array_equal(getattr(image, name), getattr(before, name))
    assert all(map(np.array_equal, image.features, before.features))


@every_kind
def test_a_configuration_comes_back_from_its_file(kind):
    config = parse_config(
        {"strategy": {"acquisition": "bvsb", "offer": {"kind": kind}}}, source="test"
    )
    assert config.strategy.offer == offer_of(kind)
    assert parse_config(load_yaml(config.to_yaml(), source="test"), source="test") == config
