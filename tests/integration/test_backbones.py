"""Backbones and heads by name: their maps, their weights from foreign files, and refusals."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.variants import HEADS, Backbone, Head
from ray_al.models import build_backbone, build_model, check_model
from ray_al.models.backbones.torchvision import TorchvisionBackbone
from ray_al.models.networks.torchvision import last_layers
from ray_al.models.weights import load_backbone_state

MOBILENET_LAYERS = ("features.3", "features.6", "features.13", "features.17")


def composed(kind="torchvision", *, head=None, weights="none", frozen=True, **settings):
    model = {
        "kind": "composed",
        "backbone": {"kind": kind, **settings},
        "weights": weights,
        "frozen": frozen,
    }
    return parse_config(
        {"model": model if head is None else {**model, "head": head}}, source="test"
    ).model


def small_network(width: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Conv2d(width, 2, 1))


class Odd(Backbone):
    """Gives what `gives` makes of an image."""

    gives: str = "list"

    def build(self, weights: str) -> nn.Module:
        return OddMaps(
            {
                "list": lambda images: [images],
                "coarse first": lambda images: (images[:, :, ::2, ::2], images),
                "one number": lambda images: (images.mean((2, 3)),),
                "maps": lambda images: (images, images[:, :, ::2, ::2]),
                "a size alone": lambda images: (images.view(1, 3, 64, 64),),
            }[self.gives]
        )


class OddMaps(nn.Module):
    def __init__(self, function: Callable) -> None:
        super().__init__()
        self.function = function

    def forward(self, images):
        return self.function(images)


class TwoChannels(Head):
    """Whatever the number of classes."""

    fails: bool = False

    def build(self, channels, num_classes):
        return OddMaps((lambda maps: maps[7]) if self.fails else (lambda maps: maps[0][:, :2]))


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("mobilenet_v2", MOBILENET_LAYERS),
        ("mobilenet_v3_small", ("features.1", "features.3", "features.8", "features.11")),
        ("resnet18", ("layer1", "layer2", "layer3", "layer4")),
        ("shufflenet_v2_x0_5", ("stage2", "stage3", "stage4")),
    ],
)
def test_the_last_layer_of_each_stride_is_found(name, layers):
    from torchvision.models import get_model

    network = get_model(name, weights=None)
    assert last_layers(network) == layers
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("efficientnet_b0", ("features.2", "features.3", "features.5", "features.7")),
        ("convnext_tiny", ("features.1", "features.3", "features.5", "features.7")),
        ("regnet_y_400mf", tuple(f"trunk_output.block{number}" for number in (1, 2, 3, 4))),
        ("mobilenet_v3_large", ("features.3", "features.6", "features.12", "features.15")),
        ("densenet121", tuple(f"features.denseblock{number}" for number in (1, 2, 3, 4))),
        ("swin_t", ()),
    ],
)
def test_the_last_layer_of_each_stride_of_larger_networks(name, layers):
    from torchvision.models import get_model

    assert last_layers(get_model(name, weights=None)) == layers


@pytest.mark.parametrize("size", [(61, 83), (64, 96), (33, 32)])
def test_maps_are_as_large_as_strides_say_though_they_do_not_divide_the_image(size):
    backbone = build_backbone(composed()).eval()
    with torch.inference_mode():
        maps = backbone(torch.zeros(1, 3, *size))
    expected = [(-(-size[0] // stride), -(-size[1] // stride)) for stride in (4, 8, 16, 32)]
    assert [tuple(one.shape[2:]) for one in maps] == expected
    assert [one.shape[1] for one in maps] == [24, 32, 96, 320]


def test_wrong_names_and_layers_are_refused_with_near_ones():
    with pytest.raises(
        ConfigError, match="model.backbone.name 'mobilenetv2'.*such as .*mobilenet_v2"
    ):
        build_model(composed(name="mobilenetv2"), 3)
    with pytest.raises(
        ConfigError,
        match=(
            "model.backbone.layers 'feature.3': mobilenet_v2 has no such layer; .*such as "
            "features.3"
        ),
    ):
        build_model(composed(layers=["feature.3"]), 3)
    with pytest.raises(
        ConfigError,
        match=(
            "model.backbone.layers: alexnet has no layers that could be found; name some of "
            "features, "
        ),
    ):
        build_model(composed(name="alexnet"), 3)
    with pytest.raises(ConfigError, match="kind 'torchvison': unknown; did you mean 'torchvision'"):
        composed("torchvison")


def test_a_failed_download_of_a_backbone_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="model.weights 'backbone': download failed .*or 'none'"):
        check_model(composed(weights="backbone"), 4)


@pytest.fixture(scope="module")
def mobilenet():
    from torchvision.models import mobilenet_v2

    torch.manual_seed(5)
    return mobilenet_v2(weights=None).state_dict()


def renamed(state):
    """As another package names the same layers."""
    return {
        f"body.{number}.{name.rsplit('.', 1)[-1]}": value
        for number, (name, value) in enumerate(state.items())
    }


@pytest.mark.parametrize("names", ["own", "other"])
@pytest.mark.parametrize("classifier", [True, False])
def test_weights_are_found_by_their_names_or_in_their_order(tmp_path, mobilenet, names, classifier):
    state = {
        key: value
        for key, value in mobilenet.items()
        if classifier or not key.startswith("classifier")
    }
    torch.save(state if names == "own" else renamed(state), tmp_path / "w.pth")
    backbone = build_backbone(composed(weights=str(tmp_path / "w.pth")))
    loaded = {key.removeprefix("extractor."): value for key, value in backbone.state_dict().items()}
    assert set(loaded) <= set(mobilenet)
    assert all(torch.equal(value, mobilenet[key]) for key, value in loaded.items())


def test_own_names_count_and_not_their_order(tmp_path):
    network, other = small_network(), small_network()
    torch.save(dict(reversed(list(other.state_dict().items()))), tmp_path / "w.pth")
    load_backbone_state(network, str(tmp_path / "w.pth"))
    assert all(
        torch.equal(value, other.state_dict()[key]) for key, value in network.state_dict().items()
    )


def test_weights_that_do_not_fit_are_refused_with_the_first_misfit(tmp_path):
    path = str(tmp_path / "w.pth")
    own = small_network().state_dict()
    values = list(own.items())
    wrong = {
        r"0.weight \(5, 3, 3, 3\) does not fit 0.weight \(4, 3, 3, 3\)": small_network(
            5
        ).state_dict(),
        "a.0.bias .* does not fit 0.weight": {
            f"a.{key}": value for key, value in reversed(values[:2])
        },
        "it ends before 2.weight, after 7 tensors": renamed(dict(values[:7])),
        "it holds a list": [1],
        "it holds a dict": {"state_dict": own},
    }
    for message, state in wrong.items():
        torch.save(state, path)
        with pytest.raises(ConfigError, match=f"model.weights '{path}': not .*{message}"):
            load_backbone_state(small_network(), path)
    (tmp_path / "w.pth").write_bytes(b"junk")
    with pytest.raises(ConfigError, match="not a state dict"):
        load_backbone_state(small_network(), path)
    with pytest.raises(ConfigError, match=r"model.weights '/nowhere.pth': no such file"):
        load_backbone_state(small_network(), "/nowhere.pth")


@pytest.mark.parametrize(
    ("head", "side"),
    [
        ({"kind": "fpn"}, 16),
        ({"kind": "fpn", "width": 8}, 16),
        ({"kind": "lraspp"}, 8),
        ({"kind": "lraspp", "maps": [0, 2]}, 16),
        ({"kind": "linear"}, 16),
        ({"kind": "linear", "maps": [2]}, 4),
        ({"kind": "linear", "maps": [1, 2], "dropout": 0.5}, 8),
    ],
)
def test_heads_give_logits_as_large_as_the_finest_map_that_they_read(head, side):
    module = HEADS.parse(head).build([4, 6, 8], 5)
    maps = tuple(
        torch.rand(2, channels, size, size) for channels, size in ((4, 16), (6, 8), (8, 4))
    )
    logits = module.train()(maps)
    assert logits.shape == (2, 5, side, side)
    logits.sum().backward()
    unlearnt = [name for name, one in module.named_parameters() if one.grad is None]
    assert unlearnt == [] or head["kind"] == "fpn"


def test_heads_refuse_maps_that_they_cannot_read():
    for head, channels, words in (
        ({"kind": "lraspp"}, [4], "it reads two maps, model.backbone gives 1"),
        (
            {"kind": "lraspp", "maps": [1, 0]},
            [4, 4],
            "model.head.maps: 1 and 0 of the 2 maps 0 to 1",
        ),
        (
            {"kind": "linear", "maps": [2]},
            [4, 4],
            r"model.head.maps: \[2\]; model.backbone gives the 2 maps 0 to 1",
        ),
        ({"kind": "linear", "maps": [1, 0]}, [4, 4], "from fine to coarse, each once"),
    ):
        with pytest.raises(ConfigError, match=words):
            HEADS.parse(head).build(channels, 3)
    assert HEADS.parse({"kind": "lraspp"}).build([4, 6], 3).low_classifier.in_channels == 4


def test_what_ones_own_backbone_and_head_give_is_checked():
    odd, head = f"{__name__}:Odd", {"kind": f"{__name__}:TwoChannels"}
    check_model(composed(odd, gives="maps", head={"kind": "linear"}), 3)
    check_model(composed(odd, gives="maps", head=head), 2)
    for model, words in (
        (
            composed(odd),
            r"model.backbone: it gives a list \[\(1, 3, 64, 64\)\]; its forward must "
            "return a tuple",
        ),
        (composed(odd, gives="one number"), "must return a tuple of maps"),
        (
            composed(odd, gives="coarse first"),
            "32x32, 64x64 cells; name its layers from fine to coarse",
        ),
        (
            composed(odd, gives="maps", head=head),
            r"it gives \(1, 2, 64, 80\), and not logits \(N, 3, h, w\) of the data set's 3 classes",
        ),
        (
            composed(odd, gives="maps", head={**head, "fails": True}),
            "the maps of model.backbone do not pass through it",
        ),
        (
            composed(odd, gives="a size alone", head=head),
            r"an image of 64x80 pixels \(data.image_size\) does not pass",
        ),
    ):
        with pytest.raises(ConfigError, match=words):
            check_model(model, 3, (64, 80))
    with pytest.raises(ConfigError, match="it is not a subclass of ray_al.core.variants.Backbone"):
        composed(f"{__name__}:OddMaps")


def test_settings_of_another_kind_are_refused():
    with pytest.raises(
        ConfigError,
        match=(
            "unknown key 'model.head.width' .*of kind 'fpn' or 'lraspp', and this one is "
            "'linear': leave it out"
        ),
    ):
        composed(head={"kind": "linear", "width": 32})
    with pytest.raises(
        ConfigError,
        match=(
            "unknown key 'model.backbone.layers' .*of kind 'torchvision', and this one is 'timm'"
        ),
    ):
        composed("timm", layers=["a"])
    with pytest.raises(
        ConfigError,
        match=r"unknown key 'model.backbone' .*of kind 'composed', and this one is 'network'",
    ):
        parse_config({"model": {"backbone": {"kind": "timm"}}}, source="test")
    with pytest.raises(
        ConfigError, match=r"unknown key 'model.backbone.layer' .*did you mean 'layers'"
    ):
        composed(layer=["a"])
    with pytest.raises(ConfigError, match="model.weights .*'full'.*give backbone, none or a file"):
        composed(weights="full")
    with pytest.raises(
        ConfigError, match="model.frozen .*'half'.*: give true, false, or the number of stages"
    ):
        composed(frozen="half")


@pytest.mark.parametrize("frozen", [True, False, 1, 2])
def test_a_configuration_comes_back_from_its_file(frozen):
    config = parse_config(
        {"model": composed(frozen=frozen, head={"kind": "linear"}).model_dump()}, source="test"
    )
    from ray_al.core.plain import load_yaml

    again = parse_config(load_yaml(config.to_yaml(), source="test"), source="test")
    assert again == config
    assert type(again.model.frozen) is type(frozen)
    assert isinstance(again.model.backbone, TorchvisionBackbone)


def test_timm_networks_give_the_maps_of_strides_from_four_on():
    pytest.importorskip("timm")
    backbone = build_backbone(composed("timm", name="mobilenetv3_small_050")).eval()
    with torch.inference_mode():
        assert [one.shape[2] for one in backbone(torch.zeros(1, 3, 64, 64))] == [16, 8, 4, 2]
    with pytest.raises(
        ConfigError, match="timm has no such network; name one of it, such as .*resnet18"
    ):
        build_backbone(composed("timm", name="resnet1"))
    with pytest.raises(ConfigError, match=r"gives no such maps \(maps=\(9,\)"):
        build_backbone(composed("timm", name="mobilenetv3_small_050", maps=[9]))
    with pytest.raises(ConfigError, match="args={'colour': 1}.*colour"):
        build_backbone(composed("timm", name="mobilenetv3_small_050", args={"colour": 1}))


def test_weights_of_a_whole_timm_network_fit_in_their_order(tmp_path):
    timm = pytest.importorskip("timm")
    whole = timm.create_model("mobilenetv3_small_050")
    torch.save(renamed(whole.state_dict()), tmp_path / "w.pth")
    backbone = build_backbone(
        composed("timm", name="mobilenetv3_small_050", weights=str(tmp_path / "w.pth"))
    ).eval()
    with torch.inference_mode():
        values = whole.eval().bn1(whole.conv_stem(torch.ones(1, 3, 64, 64)))
        for block in whole.blocks[:1]:
            values = block(values)
        assert torch.equal(backbone(torch.ones(1, 3, 64, 64))[0], values)


def test_transformers_take_every_size_that_their_patches_divide():
    pytest.importorskip("timm")
    model = composed(
        "timm",
        name="vit_tiny_patch16_224",
        args={"depth": 3, "embed_dim": 24, "num_heads": 3},
        maps=[1, 2],
    )
    check_model(model, 3, (48, 80))
    with torch.inference_mode():
        assert [
            tuple(one.shape) for one in build_backbone(model).eval()(torch.zeros(1, 3, 48, 80))
        ] == [(1, 24, 3, 5)] * 2
    with pytest.raises(
        ConfigError,
        match=(
            r"an image of 60x80 pixels \(data.image_size\) does not pass through it: .*patch "
            "size"
        ),
    ):
        check_model(model, 3, (60, 80))
    first = build_model(model.model_copy(update={"frozen": 1}), 3)
    kept = {name for name, parameter in first.named_parameters() if not parameter.requires_grad}
    assert {name.split(".")[4] for name in kept if ".blocks." in name} == {"0", "1"}


def test_timm_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(
        ConfigError,
        match=r"model.backbone.kind 'timm': the package timm is missing; install ray_al\[models\]",
    ):
        build_backbone(composed("timm"))
