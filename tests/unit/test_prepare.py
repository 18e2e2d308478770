import pytest
import torch
from test_models import Wrapped, small
from torch import nn

from ray_al.core.config import ModelConfig
from ray_al.models import build_model
from ray_al.score.prepare import prepare_network


def wrapped(num_classes: int) -> nn.Module:
    return Wrapped()


@pytest.mark.parametrize("name", ["lraspp_mobilenet_v3_large", f"{small.__module__}:small", f"{__name__}:wrapped"])
def test_batch_norm_is_folded_without_changing_the_logits(name):
    model = build_model(ModelConfig(name=name), 3).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    images = torch.randn(2, 3, 48, 64)
    with torch.inference_mode():
        expected = model(images)
        fast = prepare_network(model, "fp32", "cpu")
        torch.testing.assert_close(fast(images), expected, rtol=1e-3, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fast.modules())
