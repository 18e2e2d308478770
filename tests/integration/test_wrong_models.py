"""Settings of a model that cannot work are refused before anything is written, in one line."""

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from ray_al.cli import main
from ray_al.core.variants import Backbone

BASE = f"""
name: small
data: {{dataset: synthetic, num_images: 4, image_size: [32, 48]}}
model: {{kind: composed, backbone: {{kind: "{__name__}:OneMap"}}}}
budget: {{start: 2, per_cycle: 2, amount: 4}}
cluster: {{host: process}}
"""


class Unfinished(Backbone):
    """Lacks `build`."""


class OneMap(Backbone):
    """The image's quarter."""

    def build(self, weights: str) -> nn.Module:
        return Quarter()


class Quarter(nn.Module):
    def forward(self, images):
        return (images[:, :, ::4, ::4],)


TORCHVISION = "model.backbone={kind: torchvision}"
VIT = "model.backbone={kind: timm, name: vit_tiny_patch16_224, args: {depth: 2}, maps: [1]}"
WRONG = {
    "weights of another network": (
        [TORCHVISION, "model.weights=other.pth"],
        ["other.pth", "(5, 3, 3, 3) does not fit features.0.0.weight"],
    ),
    "weights that are missing": (
        [TORCHVISION, "model.weights=none.pth"],
        ["none.pth", "no such file; give the path"],
    ),
    "weights that are none": (
        [TORCHVISION, "model.weights=c.yaml"],
        ["c.yaml", "not a state dict"],
    ),
    "weights of a composed network as a whole": (
        ["model.weights=full"],
        ["model.weights", "'full'", "give backbone, none or a file"],
    ),
    "a layer that is not there": (
        ["model.backbone={kind: torchvision, layers: [features.3, feature.13]}"],
        ["model.backbone.layers 'feature.13'", "such as features.13"],
    ),
    "an unknown network": (
        ["model.backbone={kind: torchvision, name: mobilnet_v2}"],
        ["model.backbone.name 'mobilnet_v2'", "mobilenet_v2"],
    ),
    "an unknown kind of backbone": (
        ["model.backbone.kind=torchvison"],
        ["model.backbone", "'torchvison'", "did you mean 'torchvision'"],
    ),
    "a class of one's own that is not finished": (
        [f"model.backbone={{kind: '{__name__}:Unfinished'}}"],
        ["model.backbone", "Unfinished", "does not define build"],
    ),
    "an unknown kind of head": (
        ["model.head.kind=lrasp"],
        ["model.head", "'lrasp'", "did you mean 'lraspp'"],
    ),
    "a setting of another kind": (
        ["model.head={kind: linear, width: 3}"],
        ["model.head.width", "'fpn' or 'lraspp'", "leave it out"],
    ),
    "images that change before a frozen backbone": (
        ["train.augment.scale=[0.5, 2]"],
        ["train.augment.scale: [0.5, 2.0]", "set features.views"],
    ),
    "a size that patches do not divide": (
        [VIT, "data.image_size=[40, 48]"],
        ["40x48 pixels (data.image_size)", "patch size", "give a size"],
    ),
    "a head that needs more maps": (
        ["model.head.kind=lraspp"],
        ["model.head.kind 'lraspp'", "reads two maps", "gives 1", "choose linear or fpn"],
    ),
    "more stages than there are": (
        ["model.frozen=1"],
        ["model.frozen: 1", "gives 1 maps", "or true"],
    ),
    "dropout in a frozen backbone": (
        [
            TORCHVISION,
            "strategy={acquisition: bald, passes: {places: [backbone.extractor.features.3]}}",
        ],
        ["strategy.passes.places", "frozen backbone", "name a layer of the head"],
    ),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "c.yaml").write_text(BASE)
    torch.save(nn.Sequential(nn.Conv2d(3, 5, 3)).state_dict(), tmp_path / "other.pth")
    return tmp_path


def refused(here, arguments, *words):
    result = CliRunner().invoke(main, ["run", *arguments, "--out", str(here / "run")])
    message = result.output.strip()
    assert result.exit_code == 2, message
    assert message.startswith("error: ")
    assert "\n" not in message
    for word in words:
        assert word in message
    assert not (here / "run").exists()


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_settings_of_a_model_are_one_message_and_no_run_directory(kind, here):
    settings, words = WRONG[kind]
    if "vit" in settings[0]:
        pytest.importorskip("timm")
    refused(
        here, ["c.yaml", *(part for setting in settings for part in ("--set", setting))], *words
    )


def test_a_network_of_another_package_cannot_be_frozen(here):
    text = "".join(line for line in BASE.splitlines(keepends=True) if not line.startswith("model"))
    (here / "n.yaml").write_text(text + "model: {name: 'torch.nn:Identity', frozen: true}")
    refused(
        here,
        ["n.yaml"],
        "model.frozen: torch.nn:Identity is a whole network of another package",
        "set it to false",
    )
