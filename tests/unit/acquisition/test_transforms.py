"""Transforms and their inverses."""

import numpy as np
import pytest
import torch

from ray_al.acquisition.shannon import entropy
from ray_al.acquisition.transforms import (
    FLIPPED_AXES,
    QUARTER_TURNS,
    add_transformed,
    apply,
    check_transform,
    invert,
)
from ray_al.acquisition.views import KINDS, PredictionStatistics
from ray_al.core.errors import ConfigError

EXACT = [*FLIPPED_AXES, *QUARTER_TURNS]


@pytest.mark.parametrize("size", [(4, 4), (3, 7), (8, 1), (1, 1)])
@pytest.mark.parametrize("name", EXACT)
def test_flips_and_turns_come_back_exactly(name, size):
    images = torch.randn(2, 3, *size)
    assert torch.equal(invert(name, apply(name, images), size), images)


def test_directions():
    image = torch.tensor([[1, 2, 3], [4, 5, 6]]).reshape(1, 1, 2, 3)
    assert apply("mirror", image)[0, 0].tolist() == [[3, 2, 1], [6, 5, 4]]
    assert apply("flip", image)[0, 0].tolist() == [[4, 5, 6], [1, 2, 3]]
    assert apply("rotate90", image)[0, 0].tolist() == [[3, 6], [2, 5], [1, 4]]
    assert apply("rotate180", image)[0, 0].tolist() == [[6, 5, 4], [3, 2, 1]]
    assert apply("rotate270", image)[0, 0].tolist() == [[4, 1], [5, 2], [6, 3]]


@pytest.mark.parametrize(
    ("name", "size"),
    [("scale0.5", (4, 6)), ("scale2", (16, 24)), ("scale1.5", (12, 18)), ("scale0.01", (1, 1))],
)
def test_scaling_changes_the_size_and_comes_back_to_it(name, size):
    images = torch.full((2, 3, 8, 12), 0.25)
    scaled = apply(name, images)
    assert scaled.shape == (2, 3, *size)
    assert torch.allclose(scaled, torch.tensor(0.25))
    assert torch.allclose(invert(name, scaled, (8, 12)), images)


def test_halving_uses_every_pixel():
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 3, 3] = 1
    assert apply("scale0.5", image).sum() == pytest.approx(0.25, abs=0.02)


def test_scaling_keeps_the_type():
    assert apply("scale2", torch.zeros(1, 3, 4, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_logits_of_a_lower_resolution_are_turned_before_they_are_resized():
    ramp = torch.arange(6.0).reshape(1, 1, 1, 6).expand(1, 1, 4, 6)
    back = invert("rotate90", apply("rotate90", ramp), (8, 12))
    assert back.shape == (1, 1, 8, 12)
    assert (back.diff(dim=3) >= 0).all()
    assert torch.allclose(back[:, :, :1], back)


@pytest.mark.parametrize(
    "name", ["miror", "scale", "scale0", "scale-1", "scalenan", "scaleinf", "scalex", ""]
)
def test_refuses_other_names(name):
    for call in (
        lambda: check_transform(name),
        lambda: apply(name, torch.zeros(1, 1, 2, 2)),
        lambda: invert(name, torch.zeros(1, 1, 2, 2), (2, 2)),
    ):
        with pytest.raises(ConfigError, match="scale0.5"):
            call()


@pytest.mark.parametrize("name", [*EXACT, "scale2"])
def test_views_take_transformed_predictions(name):
    size = (5, 8)
    logits = torch.from_numpy(np.random.default_rng(0).normal(0, 3, (2, 4, *size))).float()
    transformed = apply(name, logits)
    kinds = KINDS - {"plain"}  # of a pass in which nothing is changed
    views, expected = PredictionStatistics(kinds), PredictionStatistics(kinds)
    add_transformed(views, name, transformed, size)
    expected.add(invert(name, transformed, size))
    for kind in kinds:
        assert torch.allclose(getattr(views, kind), getattr(expected, kind), atol=1e-5)


def test_entropies_of_mirrored_images_are_theirs_bit_for_bit():
    logits = torch.from_numpy(np.random.default_rng(0).normal(0, 4, (3, 19, 15, 17))).float()
    views = PredictionStatistics(frozenset({"mean_entropy"}))
    add_transformed(views, "mirror", logits, (15, 17))
    assert torch.equal(views.mean_entropy, entropy(logits).flip(-1))


@pytest.mark.parametrize(
    "name",
    ["scale1e30", "scale100", "scale0.001", "scalenan", "scaleinf", "scale-1", "scale", "", "turn"],
)
def test_what_is_no_transform_is_refused(name):
    with pytest.raises(ConfigError, match=r"strategy\.transforms.*scale0\.5"):
        check_transform(name)
