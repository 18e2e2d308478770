import pytest
import torch
from torch import nn

from ray_al.core.errors import ConfigError
from ray_al.core.model import ModelConfig
from ray_al.core.seeding import generator
from ray_al.models import build_model
from ray_al.models.dropout import PassDropout, dropout_pass, dropout_places, with_dropout


def plain(num_classes: int = 3) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, num_classes, 1)
    )


class Dropping(nn.Module):
    """Uses one dropout layer under two names; another has p = 0."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 3, 1)
        self.drop, self.off = nn.Dropout(0.25), nn.Dropout(0.0)
        self.same = self.drop
        self.blocks = nn.ModuleList([nn.Identity()])

    def forward(self, images):
        return self.last(self.same(self.off(self.drop(self.first(images)))))


def foreign(name: str) -> nn.Module:
    torch.manual_seed(0)
    return build_model(ModelConfig(name=f"{__name__}:{name}"), 3).eval()


@pytest.fixture(scope="module")
def lraspp():
    torch.manual_seed(0)
    return build_model(ModelConfig(), 5).eval()


def test_a_mask_follows_from_its_names_alone():
    layer = PassDropout("a.b", 0.25).eval()
    kept = generator("dropout", 7, 3, 2, "a.b").random(400) >= 0.25
    with dropout_pass(7, 3, 2):
        assert layer.mask(400).tolist() == pytest.approx([1 / 0.75 if keep else 0 for keep in kept])
        first = layer.mask(64)
        torch.manual_seed(99)
        assert torch.equal(layer.mask(64), first)
    assert 250 < kept.sum() < 350
    for seed, cycle, number, name in [
        (8, 3, 2, "a.b"),
        (7, 4, 2, "a.b"),
        (7, 3, 1, "a.b"),
        (7, 3, 2, "a.c"),
    ]:
        other = PassDropout(name, 0.25).eval()
        with dropout_pass(seed, cycle, number):
            assert not torch.equal(other.mask(64), first)


def test_a_mask_is_the_same_in_another_process():
    layer = PassDropout("head", 0.5)
    with dropout_pass(1, 0, 4):
        # Written down from another process: a change of the seeding changes what every run queries.
        assert layer.mask(12).tolist() == MASK


MASK = [2.0, 0.0, 2.0, 0.0, 2.0, 2.0, 0.0, 2.0, 0.0, 0.0, 2.0, 2.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_whole_channels_are_dropped_alike_for_every_image_and_pixel(dtype):
    layer = PassDropout("x", 0.5).eval()
    images = torch.ones(3, 32, 4, 5, dtype=dtype).contiguous(memory_format=torch.channels_last)
    assert layer(images) is images
    with dropout_pass(0, 0, 0):
        output = layer(images)
        assert torch.equal(layer(images[1:2]), output[1:2])
        tokens = layer(torch.ones(3, 7, 32, dtype=dtype))
        with dropout_pass(0, 0, None):
            assert layer(images) is images
    assert output.dtype == dtype and output.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(output, output[:1, :, :1, :1].expand_as(output))
    assert set(output.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(tokens[0, 0], output[0, :, 0, 0])
    assert layer(images) is images


def test_the_mean_over_passes_is_the_input():
    layer, images = PassDropout("x", 0.3).eval(), torch.rand(1, 50, 1, 1)
    total = torch.zeros_like(images)
    for number in range(200):
        with dropout_pass(0, 0, number):
            total += layer(images)
    torch.testing.assert_close(total / 200, images, rtol=0.2, atol=0)


def test_training_keeps_the_replaced_layer():
    model, images = foreign("Dropping").train(), torch.rand(2, 3, 8, 8)
    torch.manual_seed(5)
    expected = model(images)
    with_dropout(model, None, 0.5)
    torch.manual_seed(5)
    with dropout_pass(0, 0, 1):
        assert torch.equal(model(images), expected)


def test_own_layers_are_used_under_all_their_names():
    model, description = with_dropout(foreign("Dropping"), None, None)
    assert model.network.drop is model.network.same
    assert (model.network.drop.p, model.network.drop.name) == (0.25, "drop")
    assert isinstance(model.network.off, nn.Dropout)
    assert description == "the network's own dropout drop (p = 0.25)"
    model, description = with_dropout(foreign("Dropping"), ["first", "drop"], 0.4)
    assert (
        description
        == "the network's own dropout drop (p = 0.4); dropout added behind first (p = 0.4)"
    )
    assert {layer.name for layer in model.modules() if isinstance(layer, PassDropout)} == {
        "drop",
        "first",
    }


def test_default_places(lraspp):
    assert dropout_places(lraspp) == ("classifier.cbr",)
    assert dropout_places(foreign("Dropping")) == ("drop", "same")
    with pytest.raises(
        ConfigError, match="name layers behind which to put one, such as 0, 1, 2, 3"
    ):
        dropout_places(foreign("plain"))


def test_deeplab_and_fcn_have_their_own_else_the_layer_before_the_last_convolution():
    with torch.device("meta"):
        deeplab, fcn = (
            build_model(ModelConfig(name=name), 3)
            for name in ("deeplabv3_mobilenet_v3_large", "fcn_resnet50")
        )
    assert dropout_places(deeplab) == ("classifier.0.project.3",)
    assert dropout_places(fcn) == ("classifier.3",)
    deeplab.classifier[0].project[3] = nn.Identity()
    assert dropout_places(deeplab) == ("classifier.3",)
    fcn.classifier[3] = nn.Identity()  # type: ignore[assignment]
    assert with_dropout(fcn, None, 0.2)[1] == "dropout added behind classifier.3 (p = 0.2)"


def test_added_layers_leave_the_state_dict_and_the_plain_output_as_they_were():
    model, images = foreign("plain"), torch.rand(2, 3, 8, 8)
    state, expected = (
        {key: value.clone() for key, value in model.state_dict().items()},
        model(images),
    )
    with_dropout(model, ["0", "1", "2"], 0.5)
    assert list(model.state_dict()) == list(state)
    assert torch.equal(model(images), expected)
    other = with_dropout(
        build_model(ModelConfig(name=f"{__name__}:plain"), 3).eval(), ["2", "0"], 0.5
    )[0]
    other.load_state_dict(state)
    assert torch.equal(other(images), expected)
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict({key: value for key, value in state.items() if "0.bias" not in key})


def test_nested_places_are_both_served(lraspp):
    model, description = with_dropout(
        build_model(ModelConfig(), 5).eval(), ["classifier.cbr", "classifier.cbr.0"], 0.5
    )
    assert sorted(layer.name for layer in model.modules() if isinstance(layer, PassDropout)) == [
        "classifier.cbr",
        "classifier.cbr.0",
    ]
    model.load_state_dict(lraspp.state_dict())
    assert description == (
        "dropout added behind classifier.cbr (p = 0.5); dropout added behind "
        "classifier.cbr.0 (p = 0.5)"
    )


@pytest.mark.parametrize(
    ("place", "near"),
    [
        ("classifier.cbs", "classifier.cbr"),
        ("clasifier.cbr.2", "classifier.cbr.2"),
        ("zzz", "classifier"),
    ],
)
def test_an_unknown_place_is_refused_with_the_nearest(lraspp, place, near):
    with pytest.raises(ConfigError, match=f"layer '{place}'.*{near}"):
        with_dropout(lraspp, [place], 0.5)


def test_what_is_no_layer_or_gives_no_tensor_is_refused(lraspp):
    with pytest.raises(ConfigError, match="layer 'blocks'"):
        with_dropout(foreign("Dropping"), ["blocks"], 0.5)
    model = with_dropout(build_model(ModelConfig(), 5).eval(), ["backbone"], 0.5)[0]
    with pytest.raises(ConfigError, match="the output of 'backbone' is a OrderedDict"):
        model(torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, 1.5])
def test_a_probability_must_leave_something_to_chance(lraspp, probability):
    with pytest.raises(ConfigError, match="strategy.passes.probability"):
        with_dropout(lraspp, None, probability)
