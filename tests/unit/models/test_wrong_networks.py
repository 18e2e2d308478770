"""Functions of other packages that give no usable network are refused with the remedy."""

import re
from typing import Any

import pytest
import torch
from torch import nn

import ray_al.models
from ray_al.core.errors import ConfigError
from ray_al.core.model import ModelConfig
from ray_al.models import build_model


class Texts(nn.Module):
    """Gives no logits."""

    def forward(self, images: torch.Tensor) -> str:
        return "logits"


def no_file(num_classes: int) -> nn.Module:
    raise OSError("no such host")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"name": "torch.nn:Identity", "weights": "full"}, "model.weights 'full': only for torchv"),
        ({"name": "builtins:list"}, "'builtins:list': returned a list; it must return a torch mod"),
        ({"name": f"{__name__}:no_file"}, "a download or file failed (no such host); get it where"),
        (
            {"name": "lraspp_mobilenet_v3_large", "args": {"num_classes": "x"}},
            "model.args {'num_classes': 'x'}: lraspp_mobilenet_v3_large cannot be built",
        ),
        (
            {"name": "lraspp_mobilenet_v3_large", "args": {"droput": 0.1}},
            "lraspp_mobilenet_v3_large has no argument 'droput'; it has weights, progress, num",
        ),
    ],
)
def test_what_gives_no_network_is_refused(model: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        build_model(ModelConfig.model_validate(model), 3)


def test_a_network_that_gives_no_logits_is_refused() -> None:
    network = build_model(ModelConfig(name=f"{__name__}:Texts"), 3)
    with pytest.raises(ConfigError, match=r"its output is a str; give a \(N, C, h, w\) tensor"):
        network(torch.zeros(1, 3, 8, 8))


def test_a_name_that_the_package_lacks_is_an_attribute_error() -> None:
    name = "nosuch"
    with pytest.raises(AttributeError, match="has no attribute 'nosuch'"):
        getattr(ray_al.models, name)
