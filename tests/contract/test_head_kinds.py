"""Every head passes one suite, a user's own too."""

from collections.abc import Sequence
from typing import ClassVar

import pytest
import torch
from helpers.own_variants import own
from torch import nn

from ray_al.core.config import parse_config
from ray_al.core.plain import load_yaml
from ray_al.core.variants import HEADS, Head
from ray_al.models import build_model, check_model
from ray_al.models.layers import trace

CHANNELS, SIDES = (4, 6, 8), (16, 8, 4)
NUM_CLASSES = 5


class TwoLayers(Head):
    """A user's own: two convolutions of the finest map."""

    width: int = 7
    hidden_layer: ClassVar[str] = "hidden"

    def build(self, channels: Sequence[int], num_classes: int) -> nn.Module:
        """As `Head.build`."""
        return TwoConvolutions(channels[0], self.width, num_classes)


class TwoConvolutions(nn.Module):
    def __init__(self, channels: int, width: int, num_classes: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Conv2d(channels, width, 1), nn.ReLU())
        self.last = nn.Conv2d(width, num_classes, 1)

    def forward(self, maps: tuple[torch.Tensor, ...]) -> torch.Tensor:
        logits: torch.Tensor = self.last(self.hidden(maps[0]))
        return logits


OWN = f"{__name__}:TwoLayers"
KINDS = [{"kind": kind} for kind in [*HEADS.kinds, OWN, *own("model.head")]]
EVERY = [
    *KINDS,
    {"kind": "fpn", "width": 8},
    {"kind": "lraspp", "maps": [0, 2]},
    {"kind": "linear", "maps": [2]},
    {"kind": "linear", "maps": [1, 2], "dropout": 0.5},
]
every = pytest.mark.parametrize("settings", EVERY, ids=lambda one: "-".join(map(str, one.values())))
every_kind = pytest.mark.parametrize("settings", KINDS, ids=lambda one: one["kind"])


def maps_of(num_images: int) -> tuple[torch.Tensor, ...]:
    rng = torch.Generator().manual_seed(0)
    return tuple(
        torch.rand(num_images, channels, side, side, generator=rng)
        for channels, side in zip(CHANNELS, SIDES, strict=True)
    )


def built(settings) -> nn.Module:
    torch.manual_seed(0)
    return HEADS.parse(settings).build(CHANNELS, NUM_CLASSES)


@every
def test_it_gives_logits_of_all_classes(settings):
    with torch.inference_mode():
        logits = built(settings).eval()(maps_of(2))
    assert logits.dtype == torch.float32 and logits.isfinite().all()
    assert logits.ndim == 4 and logits.shape[:2] == (2, NUM_CLASSES)


@pytest.mark.parametrize("kind", HEADS.kinds)
def test_those_of_the_package_can_be_traced_and_so_made_fast(kind):
    head, maps = built({"kind": kind}).eval(), maps_of(2)
    with torch.inference_mode():
        assert torch.equal(trace(head)(maps), head(maps))


@every
def test_logits_of_an_image_do_not_depend_on_the_images_beside_it(settings):
    head, maps = built(settings).eval(), maps_of(3)
    with torch.inference_mode():
        alone = head(tuple(one[1:2] for one in maps))
        torch.testing.assert_close(head(maps)[1:2], alone)


@every
def test_the_hidden_layer_is_there_and_the_logits_follow_from_it(settings):
    name, head = HEADS.parse(settings).hidden_layer, built(settings).eval()
    if name is None:
        pytest.skip("settings must name its hidden layer")
    seen = []
    handle = head.get_submodule(name).register_forward_hook(lambda *parts: seen.append(parts[2]))
    with torch.inference_mode():
        logits = head(maps_of(1))
        handle.remove()
        assert [one.ndim for one in seen] == [4]  # dropout and features of regions read one map
        head.get_submodule(name).register_forward_hook(lambda *parts: torch.zeros_like(parts[2]))
        assert not torch.equal(head(maps_of(1)), logits)


@every
def test_it_learns_from_as_few_images_as_it_says(settings):
    num_images = HEADS.parse(settings).min_images
    assert num_images >= 1
    head, maps = built(settings).train(), maps_of(num_images)
    target = torch.arange(num_images)[:, None, None] + 1
    optimizer = torch.optim.SGD(head.parameters(), 0.1)
    losses = []
    for _ in range(5):
        logits = head(maps)
        loss = nn.functional.cross_entropy(logits, target.expand(-1, *logits.shape[2:]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@every
def test_the_same_seed_gives_the_same_weights(settings):
    first, second = (built(settings).state_dict() for _ in range(2))
    assert first.keys() == second.keys() and first
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@every_kind
@pytest.mark.parametrize("frozen", [True, False])
def test_a_network_with_it_works(settings, frozen):
    model = parse_config(
        {
            "model": {
                "kind": "composed",
                "backbone": {"kind": "helpers.tiny_backbones:TwoMapsBackbone"},
                "head": settings,
                "frozen": frozen,
            }
        },
        source="test",
    ).model
    check_model(model, NUM_CLASSES, (48, 64))
    network = build_model(model, NUM_CLASSES).eval()
    with torch.inference_mode():
        images = torch.rand(1, 3, 48, 64)
        assert torch.equal(network(network.maps(images)), network(images))
    assert model.min_images == HEADS.parse(settings).min_images


@every
def test_a_configuration_comes_back_from_its_file(settings):
    backbone = {"kind": "helpers.tiny_backbones:TwoMapsBackbone"}
    config = parse_config(
        {"model": {"kind": "composed", "backbone": backbone, "head": settings}}, source="test"
    )
    assert config.model.head == HEADS.parse(settings)
    assert parse_config(load_yaml(config.to_yaml(), source="test"), source="test") == config
