"""Predictions that people are offered."""

import numpy as np
import pytest
import torch

from ray_al.core.config import parse_config
from ray_al.datasets.images import resize_image, resize_mask
from ray_al.driver.proposals import ProposalModel
from ray_al.models import build_model, images_to_tensor, trained_state
from ray_al.train.state import dump

SIZE = (32, 48)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_composed_network_proposes_what_it_predicts(frozen):
    backbone = {"kind": "helpers.tiny_backbones:TinyBackbone", "channels": 8}
    model = {"kind": "composed", "backbone": backbone, "frozen": frozen}
    values = {"data": {"image_size": list(SIZE)}, "model": model, "scoring": {"threads": 1}}
    config = parse_config(values, source="test")
    torch.manual_seed(0)
    network = build_model(config.model, 5).eval()
    torch.nn.init.zeros_(network.head.classifier.bias)  # else it decides for every pixel
    image = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    pixels = images_to_tensor(resize_image(image, SIZE)[None], "imagenet")
    with torch.inference_mode():
        logits = torch.nn.functional.interpolate(network(pixels), size=SIZE, mode="bilinear")
    expected = resize_mask(logits.argmax(1)[0].to(torch.uint8).numpy(), (64, 80))
    proposed = ProposalModel(config, 5, dump(trained_state(network)))(image)
    assert len(np.unique(expected)) > 1
    assert np.array_equal(proposed, expected)
