"""Every kind of passes passes one suite: those of the family, and one that a user could write."""

import copy
import itertools

import pytest
import torch
from helpers.own_variants import own
from torch import nn

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.families.passes import PASSES, PassKind
from ray_al.core.seeding import generator
from ray_al.driver.catalog import list_strategies
from ray_al.models import build_model
from ray_al.models.split import trained_part


class Tempered(PassKind):
    """A user's own: passes whose logits are divided by a temperature of their own."""

    kind: str = "tempered"
    spread: float = 0.5

    def open(self, network, precision, device, *, seed, cycle):
        return TemperedNetwork(trained_part(network).to(device).eval(), self.spread, seed, cycle)


class TemperedNetwork:
    def __init__(self, network, spread, seed, cycle):
        self.network, self.spread, self.key = network, spread, (seed, cycle)

    def prefix(self, given):
        return (self.network(given),)

    def suffix(self, prefix, number):
        return (
            prefix[0]
            if number is None
            else prefix[0] / (1 + self.spread * generator("tempered", *self.key, number).random())
        )


OWN = f"{__name__}:Tempered"
KINDS = [*PASSES.kinds, OWN, *own("strategy.passes")]
OF_ONE_MODEL = [kind for kind in KINDS if not PASSES.find(kind).are_models]

every_kind = pytest.mark.parametrize("kind", KINDS)
every_stochastic_kind = pytest.mark.parametrize("kind", OF_ONE_MODEL)


def network_of(frozen: bool) -> nn.Module:
    model = {
        "kind": "composed",
        "backbone": {"kind": "helpers.tiny_backbones:TwoMapsBackbone"},
        "head": {"kind": "fpn", "width": 8, "dropout": 0.5},
        "frozen": frozen,
    }
    torch.manual_seed(0)
    return build_model(parse_config({"model": model}, source="test").model, 3).eval()


def inputs_of(network: nn.Module, num_images: int = 2):
    images = torch.rand(num_images, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return network.maps(images) if network.is_frozen else images


def open_passes(kind, network, *, seed=3, cycle=2):
    return PASSES.parse({"kind": kind}).open(
        copy.deepcopy(network), "reference", "cpu", seed=seed, cycle=cycle
    )


@every_kind
def test_a_kind_needs_no_settings_and_reads_back(kind):
    passes = parse_config(
        {"strategy": {"acquisition": "bald", "passes": {"kind": kind}}}, source="test"
    ).strategy.passes
    assert passes == PASSES.parse(passes.model_dump(mode="json"))
    assert passes.count == 10


@every_kind
def test_a_kind_says_what_it_is(kind):
    passes = PASSES.parse({"kind": kind, "count": 4})
    assert (passes.num_members, passes.num_snapshots) in (
        [(4, 0), (1, 4)] if passes.are_models else [(1, 0)]
    )
    assert not (passes.are_models and passes.changes_maps)
    assert passes.needs and (passes.paper or ":" in kind)


@every_stochastic_kind
@pytest.mark.parametrize("frozen", [True, False])
def test_a_pass_follows_from_its_number_alone(kind, frozen):
    network = network_of(frozen)
    given = inputs_of(network)
    PASSES.parse({"kind": kind}).check_network(copy.deepcopy(network))
    passes, again = open_passes(kind, network), open_passes(kind, network)
    with torch.inference_mode():
        prefix = passes.prefix(given)
        plain = trained_part(network)(given)
        torch.testing.assert_close(passes.suffix(prefix, None), plain)
        numbered = {number: passes.suffix(prefix, number) for number in (2, 0, 1)}
        for number in range(3):
            assert torch.equal(numbered[number], again.suffix(again.prefix(given), number))
            assert numbered[number].shape == plain.shape
        for one, other in itertools.combinations([*numbered.values(), plain], 2):
            assert not torch.equal(one, other)


@every_stochastic_kind
def test_passes_differ_by_seed_and_cycle_and_not_by_the_images_beside(kind):
    network = network_of(True)
    maps = inputs_of(network)
    answers = {}
    with torch.inference_mode():
        for seed, cycle in ((3, 2), (4, 2), (3, 1)):
            passes = open_passes(kind, network, seed=seed, cycle=cycle)
            answers[seed, cycle] = passes.suffix(passes.prefix(maps), 0)
        for one, other in itertools.combinations(answers.values(), 2):
            assert not torch.equal(one, other)
        passes = open_passes(kind, network)
        alone = passes.suffix(passes.prefix(tuple(one[:1] for one in maps)), 0)
        torch.testing.assert_close(alone, answers[3, 2][:1])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if PASSES.find(kind).changes_maps])
@pytest.mark.parametrize("frozen", [True, False])
def test_kinds_that_change_maps_share_the_maps_of_the_backbone(kind, frozen):
    network = network_of(frozen)
    given = inputs_of(network)
    with torch.inference_mode():
        expected = given if frozen else network.maps(given)
        for one, other in zip(open_passes(kind, network).prefix(given), expected, strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("passes", "words"),
    [
        (
            {"kind": "noise", "places": ["head"]},
            ["strategy.passes.places", "a setting of kind 'dropout'", "this one is 'noise'"],
        ),
        (
            {"kind": "ensemble", "probability": 0.5},
            ["strategy.passes.probability", "'dropout' or 'features'"],
        ),
        ({"kind": "dropout", "noise": 0.5}, ["strategy.passes.noise", "a setting of kind 'noise'"]),
        (
            {"noise": 0.5},
            ["strategy.passes.noise", "a setting of kind 'noise'", "this one is 'dropout'"],
        ),
        ({"kind": "features", "probability": 1}, ["strategy.passes.probability", "1"]),
        ({"kind": "ensemble", "count": 1}, ["strategy.passes.count", "1"]),
        ({"kind": "ensembles"}, ["strategy.passes: kind 'ensembles'", "did you mean 'ensemble'?"]),
        ("dropout", ["strategy.passes", "give keys with values"]),
        (
            {"kind": "ray_al.scoring.passes.changed_maps:ChangedMaps"},
            ["strategy.passes: kind", "does not define change"],
        ),
    ],
)
def test_a_wrong_setting_is_refused_with_its_remedy(passes, words):
    with pytest.raises(ConfigError) as error:
        parse_config({"strategy": {"acquisition": "bald", "passes": passes}}, source="c.yaml")
    for word in words:
        assert word in str(error.value)


def test_kinds_are_listed_with_what_they_need():
    rows = {row["name"]: row for row in list_strategies() if row["kind"] == "passes"}
    assert list(rows) == list(PASSES.kinds)
    assert rows["ensemble"]["needs"] == "a training a pass"
