"""Passes that differ in the maps which enter a head: they change these maps and nothing else."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.families.passes import PASSES
from ray_al.core.seeding import generator
from ray_al.driver.check_strategy import check_strategy
from ray_al.models import build_model
from ray_al.models.feature_noise import MapChange, MapDropout, MapNoise, PassKey
from ray_al.models.layers import TraceLeaf
from ray_al.scoring.passes.changed_maps import ChangedMaps
from ray_al.scoring.passes.networks import FeaturePasses

KEY = PassKey(seed=3, cycle=2, number=5)
BACKBONE = {"kind": "helpers.tiny_backbones:TinyBackbone"}


def change_of(settings: dict[str, Any]) -> MapChange:
    """Return how passes with these settings change maps."""
    passes = PASSES.parse(settings)
    assert isinstance(passes, ChangedMaps)
    return passes.change()


def maps_of(num_images: int = 2) -> tuple[torch.Tensor, ...]:
    drawn = torch.Generator().manual_seed(1)
    sizes = ((6, 16, 12), (5, 8, 6))
    return tuple(torch.randn(num_images, *size, generator=drawn) + 3 for size in sizes)


def composed(frozen: bool, kind: str = "composed") -> nn.Module:
    model = {
        "kind": "composed",
        "backbone": BACKBONE,
        "frozen": frozen,
        "head": {"kind": "fpn", "width": 8},
    }
    if kind == "torchvision":
        model = {"name": "lraspp_mobilenet_v3_large", "frozen": frozen}
    torch.manual_seed(0)
    return build_model(parse_config({"model": model}, source="test").model, 3).eval()


def slow_dropout(values: np.ndarray, place: int, probability: float) -> np.ndarray:
    kept = generator("feature dropout", 3, 2, 5, place).random(values.shape[1]) >= probability
    answer = np.zeros_like(values)
    for channel in np.flatnonzero(kept):
        answer[:, channel] = values[:, channel] / np.float32(1 - probability)
    return answer


def slow_noise(values: np.ndarray, place: int, strength: float) -> np.ndarray:
    noise = generator("feature noise", 3, 2, 5, place).standard_normal(
        values.shape[1:], dtype="float32"
    )
    answer = values.astype(np.float64)
    for image in range(len(values)):
        for channel in range(values.shape[1]):
            spread = answer[image, channel].std()
            answer[image, channel] += strength * spread * noise[channel]
    return answer


@pytest.mark.parametrize("probability", [0.3, 0.75])
def test_dropout_equals_the_slow_reference(probability):
    for place, (changed, values) in enumerate(
        zip(MapDropout(probability)(maps_of(), KEY), maps_of(), strict=True)
    ):
        np.testing.assert_allclose(
            changed, slow_dropout(values.numpy(), place, probability), rtol=1e-6
        )


@pytest.mark.parametrize("strength", [0.1, 2.0])
def test_noise_equals_the_slow_reference(strength):
    for place, (changed, values) in enumerate(
        zip(MapNoise(strength)(maps_of(), KEY), maps_of(), strict=True)
    ):
        np.testing.assert_allclose(
            changed, slow_noise(values.numpy(), place, strength), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("change", [MapDropout(0.5), MapNoise(0.5)])
def test_an_image_is_changed_alike_in_any_batch_and_its_maps_keep_their_type(change):
    both = change(maps_of(), KEY)
    alone = change(tuple(one[1:] for one in maps_of()), KEY)
    assert all(torch.equal(one[1:], other) for one, other in zip(both, alone, strict=True))
    half = change(tuple(one.bfloat16() for one in maps_of()), KEY)
    assert [one.dtype for one in half] == [torch.bfloat16] * 2


@pytest.mark.parametrize("change", [MapDropout(0.5), MapNoise(0.5)])
@pytest.mark.parametrize(
    "other", [KEY._replace(seed=4), KEY._replace(cycle=3), KEY._replace(number=6)]
)
def test_draws_follow_from_seed_cycle_and_pass(change, other):
    one, same, differs = (change(maps_of(), key) for key in (KEY, KEY, other))
    assert all(torch.equal(*pair) for pair in zip(one, same, strict=True))
    assert not any(torch.equal(*pair) for pair in zip(one, differs, strict=True))


def test_a_channel_that_is_the_same_everywhere_gets_no_noise():
    maps = (torch.full((1, 3, 4, 4), 7.0), torch.ones(1, 2, 1, 1))
    assert all(torch.equal(*pair) for pair in zip(MapNoise(1.0)(maps, KEY), maps, strict=True))


def test_what_passes_ask_for():
    assert change_of({"kind": "features"}) == MapDropout(0.75)
    assert change_of({"kind": "features", "probability": 0.2}) == MapDropout(0.2)
    assert change_of({"kind": "noise", "noise": 0.1}) == MapNoise(0.1)


class Counted(TraceLeaf):
    """A backbone that counts how often it is called."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone, self.calls = backbone, 0

    def forward(self, images):
        self.calls += 1
        return self.backbone(images)


@pytest.mark.parametrize("kind", ["composed", "torchvision"])
@pytest.mark.parametrize("change", [MapDropout(0.5), MapNoise(0.5)])
def test_passes_equal_the_head_on_changed_maps_and_the_backbone_is_computed_once(kind, change):
    network, reference = composed(False, kind), composed(False, kind)
    network.backbone = Counted(network.backbone) if kind == "composed" else network.backbone
    passes = FeaturePasses(network, change, "reference", "cpu", seed=3, cycle=2)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        prefix = passes.prefix(images)
        found = {number: passes.suffix(prefix, number) for number in (5, None, 0, 5)}
        maps = reference.maps(images)
        torch.testing.assert_close(found[None], reference(images))
        for number in (0, 5):
            torch.testing.assert_close(
                found[number], reference.logits(change(maps, PassKey(3, 2, number)))
            )
    assert not torch.equal(found[0], found[5])
    if kind == "composed":
        assert passes.backbone.network.backbone.calls == 1


@pytest.mark.parametrize("precision", ["fp32", "bf16", "reference"])
@pytest.mark.parametrize("kind", ["composed", "torchvision"])
def test_a_frozen_network_takes_maps_and_agrees_with_the_one_that_is_not(kind, precision):
    network = composed(True, kind)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)).contiguous(
        memory_format=torch.channels_last
    )
    with torch.inference_mode():
        maps = network.maps(images)
    change, tolerance = MapNoise(0.2), 0.1 if precision == "bf16" else 1e-4
    answers = []
    for frozen, given in ((True, maps), (False, images)):
        one = copy.deepcopy(network)
        one.is_frozen = frozen  # type: ignore[assignment]
        passes = FeaturePasses(one, change, precision, "cpu", seed=3, cycle=2)
        with torch.inference_mode():
            prefix = passes.prefix(given)
            answers.append([passes.suffix(prefix, number).float() for number in (None, 0, 1)])
    for one, other in zip(*answers, strict=True):
        torch.testing.assert_close(
            one, other, rtol=tolerance, atol=tolerance * max(1.0, float(other.abs().max()))
        )


def make_config(**strategy):
    model = {
        "name": "torchvision.models.segmentation:lraspp_mobilenet_v3_large",
        "args": {"num_classes": 3, "weights_backbone": None},
    }
    return parse_config(
        {"model": model, "strategy": {"acquisition": "bald", **strategy}}, source="test"
    )


@pytest.mark.parametrize("kind", ["features", "noise"])
def test_a_network_whose_backbone_is_not_known_is_refused(kind):
    config = make_config(passes={"kind": kind})
    with pytest.raises(
        ConfigError,
        match=(
            rf"strategy.passes.kind='{kind}': the backbone of this model is not known; use "
            "dropout"
        ),
    ):
        check_strategy(config, 3)
