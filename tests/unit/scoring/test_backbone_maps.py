"""`strategy.feature_layer: backbone_maps`: the two coarsest maps of a backbone as features.

The networks are frozen or not, composed or torchvision's.
"""

import io
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn
from torch.nn import functional

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.variants import Backbone
from ray_al.models import build_model
from ray_al.models.features import feature_layer
from ray_al.models.state import trained_state
from ray_al.scoring.features import feature_schema, groups_of
from ray_al.scoring.inputs import Features, ImageInputs
from ray_al.scoring.scorer import FeatureScorer


class ThreeBackbone(Backbone):
    """Three convolutions: maps of 4, 6 and 10 channels at strides 2, 4 and 8."""

    kind: Literal["test_backbone_maps:ThreeBackbone"] = "test_backbone_maps:ThreeBackbone"

    def build(self, weights: str) -> nn.Module:
        return ThreeMaps()


class ThreeMaps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 2, stride=2) for a, b in ((3, 4), (4, 6), (6, 10))
        )

    def forward(self, images):
        maps = []
        for conv in self.convs:
            images = conv(images).relu()
            maps.append(images)
        return tuple(maps)


def configure(frozen, **model):
    composed = {
        "kind": "composed",
        "backbone": {"kind": f"{__name__}:ThreeBackbone"},
        "head": {"kind": "fpn", "width": 8},
        "frozen": frozen,
    }
    values = {
        "data": {"dataset": "synthetic", "image_size": [32, 48]},
        "model": model or composed,
        "strategy": {"feature_layer": "backbone_maps", "batch": {"kind": "centroids"}},
        "scoring": {"precision": "fp32", "workers": 0, "threads": 1, "batch_size": 2},
    }
    return parse_config(values, source="test")


def opened(config):
    """A scorer, and the network whose weights it has."""
    torch.manual_seed(0)
    network = build_model(config.model, 3).eval()
    buffer = io.BytesIO()
    torch.save(trained_state(network), buffer)
    return FeatureScorer(config, config.strategy, 3, [buffer.getvalue()]), network


def expected_features(maps):
    fine, coarse = maps[-2:]
    return torch.cat(
        [
            fine,
            functional.interpolate(
                coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False
            ),
        ],
        1,
    )


IMAGES = np.random.default_rng(0).integers(0, 255, (2, 32, 48, 3), np.uint8)


@pytest.mark.parametrize("model", [{}, {"name": "lraspp_mobilenet_v3_large"}])
def test_of_a_network_that_is_trained_as_a_whole(model):
    scorer, network = opened(configure(False, **model))
    pixels = ImageInputs(IMAGES, scorer.config.data.normalize, scorer.form)
    probabilities, features = scorer.feature_maps(pixels)
    with torch.inference_mode():
        maps = network.maps(pixels.plain())
        logits = network.logits(maps)
    torch.testing.assert_close(features, expected_features(maps), rtol=1e-3, atol=1e-3)
    size = features.shape[-2:]
    resized = functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(probabilities, resized.softmax(1), rtol=1e-3, atol=1e-3)
    assert sum(scorer.groups) == features.shape[1]
    assert len(scorer.groups) == 2


def test_of_a_frozen_backbone_from_what_is_kept_of_it():
    scorer, network = opened(configure(True))
    with torch.inference_mode():
        maps = network.maps(ImageInputs(IMAGES, "imagenet", scorer.form).plain())

    class Kept(Features):
        def __init__(self):
            pass

        def plain(self):
            return maps

    _, features = scorer.feature_maps(Kept())
    assert torch.equal(features, expected_features(maps))
    assert scorer.groups == (6, 10)
    assert features.shape[-2:] == (8, 12)


def test_another_packages_network_has_no_known_backbone():
    network = build_model(
        parse_config({"model": {"name": "helpers.networks:Foreign"}}, source="test").model, 3
    )
    with pytest.raises(
        ConfigError,
        match=(
            "'backbone_maps': the backbone of this model is not known; name a layer of it, "
            "such as .*conv"
        ),
    ):
        feature_layer(network, "backbone_maps")


def test_groups_are_read_from_the_parts(tmp_path):
    assert groups_of(feature_schema(16, 3, (6, 10))) == (6, 10)
    assert groups_of(feature_schema(16, 3)) == ()
    one = feature_schema(16, 3, (6, 10)).empty_table()
    assert groups_of(pa.concat_tables([one, one]).schema) == (6, 10)
