import io

import pytest
import torch
from helpers.networks import small
from torch import nn

from ray_al.core.errors import ConfigError
from ray_al.core.model import ModelConfig
from ray_al.models import (
    build_model,
    check_model,
    images_to_tensor,
    set_batch_norm_momentum,
)
from ray_al.models.build import TORCHVISION_NAMES


def segformer(num_classes: int) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    config = transformers.SegformerConfig(
        num_labels=num_classes,
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
    )
    return transformers.SegformerForSemanticSegmentation(config)


@pytest.mark.parametrize(
    "name", ["lraspp_mobilenet_v3_large", "fcn_resnet50", "deeplabv3_mobilenet_v3_large"]
)
def test_torchvision_gives_logits_at_the_heads_resolution(name):
    model = build_model(ModelConfig(name=name), 5).eval()
    with torch.inference_mode():
        logits = model(torch.zeros(2, 3, 64, 96))
    assert logits.shape[:2] == (2, 5)
    assert logits.shape[2] in (4, 8)
    assert not any(key.startswith("aux") for key in model.state_dict())


def test_the_same_seed_builds_the_same_weights():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build_model(ModelConfig(), 4).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize(
    ("name", "near"),
    [("fcn_resnet5", "fcn_resnet50"), ("deeplab_resnet101", "deeplabv3_resnet101")],
)
def test_unknown_name_is_refused_with_the_nearest(name, near):
    with pytest.raises(ConfigError, match=f"did you mean '{near}'"):
        check_model(ModelConfig(name=name), 4)
    assert near in TORCHVISION_NAMES


@pytest.mark.parametrize("name", ["no_such_package_x:f", "math:no_such", "math:pi", "math:floor"])
def test_bad_functions_are_refused(name):
    with pytest.raises(ConfigError, match=name):
        check_model(ModelConfig(name=name), 4)


def test_function_gets_the_number_of_classes_and_its_arguments():
    model = build_model(ModelConfig(name="helpers.networks:small", args={"width": 6}), 7)
    assert model(torch.zeros(1, 3, 8, 8)).shape == (1, 7, 8, 8)


def test_dict_output_and_wrong_number_of_classes():
    check_model(ModelConfig(name="helpers.networks:Wrapped"), 3)
    with pytest.raises(ConfigError, match="3 channels, the data set has 4"):
        check_model(ModelConfig(name="helpers.networks:Wrapped"), 4)


def test_weights_from_a_file(tmp_path):
    name = "helpers.networks:small"
    saved = build_model(ModelConfig(name=name), 2)
    path = tmp_path / "w.pt"
    torch.save(saved.state_dict(), path)
    loaded = build_model(ModelConfig(name=name, weights=str(path)), 2)
    assert all(
        torch.equal(a, b) for a, b in zip(saved.parameters(), loaded.parameters(), strict=True)
    )
    with pytest.raises(ConfigError, match="no such file"):
        check_model(ModelConfig(name=name, weights=str(tmp_path / "none.pt")), 2)
    path.write_bytes(b"junk")
    with pytest.raises(ConfigError, match="not a state dict"):
        check_model(ModelConfig(name=name, weights=str(path)), 2)


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """Where torch keeps the weights that it downloaded; it can download no more."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub" / "checkpoints"


@pytest.mark.usefixtures("downloads")
def test_a_failed_download_is_a_config_error():
    for weights in ("backbone", "full"):
        with pytest.raises(ConfigError, match="download failed"):
            check_model(ModelConfig(weights=weights), 4)


def test_full_weights_keep_all_but_the_last_convolutions(downloads):
    from torchvision.models.segmentation import (
        LRASPP_MobileNet_V3_Large_Weights,
        lraspp_mobilenet_v3_large,
    )

    source = lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=21
    ).state_dict()
    torch.save(source, downloads / LRASPP_MobileNet_V3_Large_Weights.DEFAULT.url.rsplit("/", 1)[-1])
    model = build_model(ModelConfig(weights="full"), 4).eval()
    assert torch.equal(
        model.state_dict()["classifier.cbr.0.weight"], source["classifier.cbr.0.weight"]
    )
    assert model(torch.zeros(1, 3, 64, 64)).shape[1] == 4


def test_batch_norm_momentum():
    model = small()
    set_batch_norm_momentum(model, 0.5)
    assert model[1].momentum == 0.5


def test_images_to_tensor():
    import numpy as np

    image = np.full((1, 2, 2, 3), 255, dtype=np.uint8)
    assert images_to_tensor(image, "none").eq(1).all()
    assert images_to_tensor(image, "imagenet")[0, 0, 0, 0] == pytest.approx((1 - 0.485) / 0.229)


def test_images_are_channels_last_on_the_cpu_unless_another_format_is_asked_for():
    import numpy as np

    image = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    fast = images_to_tensor(image, "imagenet")
    assert fast.is_contiguous(memory_format=torch.channels_last)
    plain = images_to_tensor(image, "imagenet", "cpu", torch.contiguous_format)
    assert plain.is_contiguous()
    assert torch.equal(fast, plain)


def test_a_network_that_needs_contiguous_images_is_refused():
    with pytest.raises(ConfigError, match=r"does not pass through it: .*\.reshape"):
        check_model(ModelConfig(name="helpers.networks:Viewing"), 4)


def test_segmentation_models_pytorch():
    pytest.importorskip("segmentation_models_pytorch")
    config = ModelConfig(
        name="segmentation_models_pytorch:Unet",
        args={"encoder_name": "resnet18", "encoder_weights": None, "classes": 4},
    )
    check_model(config, 4)
    buffer = io.BytesIO()
    torch.save(build_model(config, 4).state_dict(), buffer)
    assert buffer.tell() > 1000


def test_segformer():
    config = ModelConfig(name=f"{__name__}:segformer")
    check_model(config, 5)
    with torch.inference_mode():
        assert build_model(config, 5).eval()(torch.zeros(2, 3, 64, 96)).shape == (2, 5, 16, 24)
