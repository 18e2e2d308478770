"""Every backbone passes one suite, a user's own too."""

import pytest
import torch
from helpers.own_variants import own
from torch import nn

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.plain import load_yaml
from ray_al.core.variants import BACKBONES, Backbone
from ray_al.models import build_backbone, build_model, check_model
from ray_al.models.layers import trace
from ray_al.models.weights import load_backbone_state


class TwoStrides(Backbone):
    """A user's own: maps of a quarter and an eighth of the image's sides."""

    width: int = 4

    def build(self, weights: str) -> nn.Module:
        """As `Backbone.build`."""
        module = TwoConvolutions(self.width)
        if weights not in ("none", "backbone"):
            load_backbone_state(module, weights)
        return module


class TwoConvolutions(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(3, width, 4, 4), nn.BatchNorm2d(width), nn.ReLU())
        self.coarse = nn.Sequential(nn.Conv2d(width, 2 * width, 2, 2), nn.ReLU())

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        fine = self.fine(images)
        return fine, self.coarse(fine)


OWN = f"{__name__}:TwoStrides"
SMALL = {
    "torchvision": {"name": "mobilenet_v3_small"},
    "timm": {"name": "mobilenetv3_small_050"},
}
"""Networks that are built in little time; other kinds have their defaults."""
every_kind = pytest.mark.parametrize("kind", [*BACKBONES.kinds, OWN, *own("model.backbone")])


@pytest.fixture(autouse=True)
def optional_package(request):
    """Skip a kind whose optional package is missing."""
    if request.node.callspec.params["kind"] == "timm":
        pytest.importorskip("timm")


def settings_of(kind: str):
    return {"kind": kind, **SMALL.get(kind, {})}


def config_of(kind: str, weights: str = "none", **model):
    return parse_config(
        {
            "model": {
                "kind": "composed",
                "backbone": settings_of(kind),
                "head": {"kind": "linear"},
                "weights": weights,
                **model,
            }
        },
        source="test",
    )


def built(kind: str, weights: str = "none") -> nn.Module:
    """The backbone as a frozen network has it."""
    return build_backbone(config_of(kind, weights).model).eval()


def images_of(kind: str, num_images: int) -> torch.Tensor:
    side = BACKBONES.parse(settings_of(kind)).probe_side
    rng = torch.Generator().manual_seed(0)
    return torch.rand(num_images, 3, side, side, generator=rng)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


@every_kind
def test_it_gives_a_tuple_of_maps_from_fine_to_coarse(kind):
    with torch.inference_mode():
        maps = built(kind)(images_of(kind, 2))
    assert isinstance(maps, tuple) and maps
    assert all(one.ndim == 4 and len(one) == 2 and one.isfinite().all() for one in maps)
    sizes = [one.shape[2:] for one in maps]
    assert sizes == sorted(sizes, reverse=True)


@every_kind
def test_maps_of_an_image_do_not_depend_on_the_images_beside_it(kind):
    backbone, images = built(kind), images_of(kind, 3)
    with torch.inference_mode():
        for together, alone in zip(backbone(images), backbone(images[1:2]), strict=True):
            torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", BACKBONES.kinds)
def test_those_of_the_package_can_be_traced_and_so_made_fast(kind):
    backbone, images = built(kind), images_of(kind, 1)
    with torch.inference_mode():
        assert all(map(torch.equal, trace(backbone)(images), backbone(images)))


@every_kind
def test_without_weights_it_follows_from_its_settings_alone(kind):
    torch.manual_seed(1)
    first = built(kind)
    torch.manual_seed(2)
    assert same_weights(first, built(kind))


@every_kind
def test_its_weights_come_back_from_a_file(kind, tmp_path):
    module = BACKBONES.parse(settings_of(kind)).build("none")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.01)
    torch.save(module.state_dict(), tmp_path / "w.pth")
    again = BACKBONES.parse(settings_of(kind)).build(str(tmp_path / "w.pth"))
    assert same_weights(module, again)


@every_kind
def test_weights_that_do_not_fit_are_refused(kind, tmp_path):
    torch.save({"weight": torch.zeros(2, 2)}, tmp_path / "w.pth")
    for name, words in (("w.pth", "not "), ("missing.pth", "no such file")):
        with pytest.raises(ConfigError, match=rf"model\.weights '.*{name}': {words}"):
            built(kind, str(tmp_path / name))


@every_kind
@pytest.mark.parametrize("frozen", [True, False])
def test_a_network_with_it_works(kind, frozen):
    model, images = config_of(kind, frozen=frozen).model, images_of(kind, 2)
    check_model(model, 3, tuple(images.shape[2:]))
    network = build_model(model, 3).train()
    logits = network(images)
    assert logits.shape[:2] == (2, 3)
    logits.square().mean().backward()
    learnt = {name for name, one in network.named_parameters() if one.grad is not None}
    assert any(name.startswith("head.") for name in learnt)
    can_learn = not frozen and any(True for _ in network.backbone.parameters())
    assert any(name.startswith("backbone.") for name in learnt) == can_learn


@every_kind
def test_a_configuration_comes_back_from_its_file(kind):
    config = config_of(kind)
    assert config.model.backbone == BACKBONES.parse(settings_of(kind))
    assert parse_config(load_yaml(config.to_yaml(), source="test"), source="test") == config
