import copy
import functools
import logging

import pytest
import torch
from torch import nn

from ray_al.core.errors import ConfigError
from ray_al.core.model import ModelConfig
from ray_al.models import build_model, set_batch_norm_momentum
from ray_al.models.dropout import dropout_pass, with_dropout
from ray_al.scoring.passes.networks import StochasticNetwork, split_at_dropout
from ray_al.scoring.prepare import prepare_network

PRECISIONS = ("fp32", "bf16", "reference")
SEED, CYCLE = 11, 4


class Skips(nn.Module):
    """A foreign network with a skip connection, sizes from tensors, and a dict of logits."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        )
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.Dropout(0.4))
        self.act = nn.ReLU(inplace=True)
        self.low, self.head = nn.Conv2d(8, 8, 1), nn.Conv2d(8, num_classes, 1)

    def forward(self, images):
        low = self.stem(images)
        high = nn.functional.interpolate(self.body(low), size=low.shape[-2:])
        return {"out": self.head(self.act(high) + self.low(low))}


class Writes(nn.Module):
    """Overwrites what was computed before its dropout, after it was read."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv, self.drop, self.head = (
            nn.Conv2d(3, 8, 1),
            nn.Dropout(0.5),
            nn.Conv2d(8, num_classes, 1),
        )

    def forward(self, images):
        values = self.conv(images)
        dropped = self.drop(values)
        values.mul_(2)
        values.add_(dropped)
        return self.head(torch.relu_(values) + dropped)


class Branches(Skips):
    """Cannot be traced: which way it goes depends on the values."""

    def forward(self, images):
        images *= 1
        return super().forward(images if images.mean() > 1e9 else images + 1)


@functools.cache
def built(name: str, places: tuple[str, ...] | None) -> nn.Module:
    """Its batch norms have seen a batch: with those of a fresh network nothing reaches the head."""
    torch.manual_seed(0)
    model = with_dropout(
        build_model(ModelConfig(name=f"{__name__}:{name}" if name[0].isupper() else name), 3),
        places,
        None,
    )[0]
    set_batch_norm_momentum(model, 1.0)
    with torch.no_grad():
        model.train()(batch(32))
    return model.eval()


def network(name: str, precision: str, places: tuple[str, ...] | None = None) -> nn.Module:
    return prepare_network(copy.deepcopy(built(name, places)), precision, "cpu")


def batch(side: int = 64) -> torch.Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1)).contiguous(
        memory_format=torch.channels_last
    )


def check_passes(model: nn.Module, images: torch.Tensor) -> StochasticNetwork:
    """Passes equal whole forwards bit for bit, in any order and when repeated."""
    stochastic = StochasticNetwork(model, SEED, CYCLE)
    with torch.inference_mode():
        plain = model(images.clone())
        expected: dict[int | None, torch.Tensor] = {None: plain}
        for number in range(3):
            with dropout_pass(SEED, CYCLE, number):
                expected[number] = model(images.clone())
        prefix = stochastic.prefix(images)
        for asked in (2, None, 0, 1, 0, None, 2):
            assert torch.equal(stochastic.suffix(prefix, asked), expected[asked])
        assert torch.equal(model(images.clone()), plain)
    assert not torch.equal(expected[0], expected[1]) and not torch.equal(expected[0], plain)
    return stochastic


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large"])
def test_mobilenets(name, precision):
    stochastic = check_passes(network(name, precision), batch())
    backbone = [
        module
        for key, module in stochastic.split.back.named_modules()
        if key.startswith("backbone")
    ]
    assert not backbone


@pytest.fixture(scope="module", params=["fcn_resnet50", "deeplabv3_resnet50"])
def resnet(request):
    built(request.param, None)
    return request.param


@pytest.mark.parametrize("precision", PRECISIONS)
def test_resnets(resnet, precision):
    check_passes(network(resnet, precision), batch(32)[:1])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["Skips", "Writes"])
def test_networks_of_other_packages(name, precision):
    check_passes(network(name, precision), batch())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_dropout_in_the_middle_of_a_network_that_works_in_place(precision):
    stochastic = check_passes(
        network(
            "lraspp_mobilenet_v3_large", precision, ("backbone.3", "classifier.cbr", "backbone.0.0")
        ),
        batch(),
    )
    assert precision != "reference" or stochastic.split.back_writes


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_network_that_cannot_be_traced_computes_whole_passes(precision, caplog):
    model = network("Branches", precision)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        stochastic = check_passes(model, batch())
    assert stochastic.split is None
    assert [
        record.message.startswith("every pass computes the whole network")
        for record in caplog.records
    ] == [True]


def test_what_depends_on_no_dropout_is_in_front():
    split = split_at_dropout(network("lraspp_mobilenet_v3_large", "fp32"))
    called = [node.target for node in split.back.graph.nodes if node.op == "call_module"]
    assert called == ["classifier.cbr.behind", "classifier.high_classifier"]
    assert not split.back_writes


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["lraspp_mobilenet_v3_large", f"{__name__}:Skips"])
def test_no_pass_number_is_the_network_without_any_dropout(name, precision):
    key = name.rpartition(":")[2]
    bare = build_model(ModelConfig(name=name), 3)
    bare.load_state_dict(built(key, None).state_dict())
    stochastic, images = StochasticNetwork(network(key, precision), SEED, CYCLE), batch()
    with torch.inference_mode():
        expected = prepare_network(bare, precision, "cpu")(images)
        assert torch.equal(stochastic.suffix(stochastic.prefix(images), None), expected)


def test_an_image_scores_the_same_in_any_batch():
    stochastic = StochasticNetwork(network("Skips", "fp32"), SEED, CYCLE)
    images = batch()
    with torch.inference_mode():
        both = stochastic.suffix(stochastic.prefix(images), 1)
        turned = stochastic.suffix(stochastic.prefix(images.flip(0)), 1)
    torch.testing.assert_close(turned.flip(0), both)


def test_networks_without_dropout_are_refused():
    torch.manual_seed(0)
    with pytest.raises(ConfigError, match="strategy.passes.places"):
        StochasticNetwork(nn.Conv2d(3, 3, 1), SEED, CYCLE)

    class Unused(Skips):
        def forward(self, images):
            return self.head(self.stem(images))

    with pytest.raises(ConfigError, match="between images and logits"):
        StochasticNetwork(with_dropout(Unused(3).eval(), None, None)[0], SEED, CYCLE)
