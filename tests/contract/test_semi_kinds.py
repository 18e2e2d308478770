"""Every way to learn from unlabelled pixels passes one suite, a user's own too."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
import torch
from helpers.frozen_training import configure, make_run
from helpers.own_variants import own
from helpers.training import make_plan

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.plain import load_yaml
from ray_al.core.types import IGNORE_INDEX
from ray_al.core.variants import SEMI, Semi
from ray_al.train.checks import check_train
from ray_al.train.trainer import LocalTrainer

NUM_CLASSES = 3
Add = Callable[[torch.Tensor], torch.Tensor]


class SurerThanTheMean(Semi):
    """A user's own: the pixels that are surer than all workers' mean."""

    start: float = 0.0

    def is_active(self, done: float) -> bool:
        """As `Semi.is_active`."""
        return done >= self.start

    def label(self, probabilities: torch.Tensor, add: Add) -> torch.Tensor:
        """As `Semi.label`."""
        confidence, classes = probabilities.max(1)
        total, count = add(torch.stack([confidence.double().sum(), torch.tensor(len(classes))]))
        return torch.where(confidence * count > total, classes, IGNORE_INDEX)


OWN = f"{__name__}:SurerThanTheMean"
EVERY = [
    *({"kind": kind} for kind in [*SEMI.kinds, OWN, *own("train.semi")]),
    {"kind": "pseudo_labels", "share": 0.1, "start": 0},
]
every = pytest.mark.parametrize("settings", EVERY, ids=lambda one: "-".join(map(str, one.values())))


def predictions(num_pixels: int) -> torch.Tensor:
    """Probabilities (P, 3) from unsure to very sure, which can be told apart in bf16 as well."""
    rng = torch.Generator().manual_seed(0)
    scale = 4 * torch.rand(num_pixels, 1, generator=rng)
    return (scale * torch.randn(num_pixels, NUM_CLASSES, generator=rng)).softmax(1)


class Workers:
    """Workers that all call `label` at the same step, each as a thread."""

    def __init__(self, number: int) -> None:
        self.barrier = Barrier(number, timeout=10)
        self.given: dict[int, torch.Tensor] = {}

    def add_of(self, rank: int) -> Add:
        def add(tensor: torch.Tensor) -> torch.Tensor:
            self.given[rank] = tensor.clone()
            self.barrier.wait()
            total = sum(self.given[one] for one in sorted(self.given))
            self.barrier.wait()
            return torch.as_tensor(total)

        return add

    def label(self, semi: Semi, parts: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return what each worker believes of its part."""
        with ThreadPoolExecutor(len(parts)) as executor:
            adds = [self.add_of(rank) for rank in range(len(parts))]
            return list(executor.map(semi.label, parts, adds))


@every
@pytest.mark.parametrize("num_pixels", [0, 1, 500])
def test_labels_are_class_ids_or_none(settings, num_pixels):
    given = predictions(num_pixels)
    labels = SEMI.parse(settings).label(given, lambda tensor: tensor)
    assert (labels.dtype, labels.shape) == (torch.int64, (num_pixels,))
    assert set(labels.tolist()) <= {*range(NUM_CLASSES), IGNORE_INDEX}
    assert torch.equal(given, predictions(num_pixels))


@every
def test_the_same_predictions_are_believed_each_time(settings):
    first, second = (
        SEMI.parse(settings).label(predictions(500), lambda tensor: tensor) for _ in range(2)
    )
    assert torch.equal(first, second)


@every
@pytest.mark.parametrize("cuts", [(250,), (100, 400), (0,), (500,)], ids=str)
def test_workers_together_believe_what_one_would(settings, cuts):
    """A worker without a pixel calls `add` as often as the others, which would wait for it."""
    semi, whole = SEMI.parse(settings), predictions(500)
    parts = list(torch.tensor_split(whole, cuts))
    together = torch.cat(Workers(len(parts)).label(semi, parts))
    assert torch.equal(together, semi.label(whole, lambda tensor: tensor))


@every
def test_it_is_used_at_some_step_of_a_training(settings):
    active = [SEMI.parse(settings).is_active(done) for done in np.linspace(0, 1, 101)]
    assert any(active) and set(active) <= {True, False}


@every
def test_a_network_is_trained_with_it(settings, tmp_path):
    config = configure(semi={**settings, "pixels": 300}, steps=4, pixels_per_step=300)
    check_train(config)
    result = LocalTrainer(config, str(tmp_path)).train(make_plan(make_run(str(tmp_path), config)))
    assert result.num_steps == 4 and np.isfinite([loss for _, loss in result.losses]).all()


@every
def test_it_needs_a_frozen_backbone(settings):
    config = configure(semi=settings)
    unfrozen = config.model.model_copy(update={"frozen": False})
    with pytest.raises(ConfigError, match=r"train\.semi.*model\.frozen"):
        check_train(config.model_copy(update={"model": unfrozen}))


@every
def test_a_configuration_comes_back_from_its_file(settings):
    config = configure(semi=settings)
    assert config.train.semi == SEMI.parse(settings)
    assert parse_config(load_yaml(config.to_yaml(), source="test"), source="test") == config
    with pytest.raises(ConfigError, match="weight"):
        configure(semi={**settings, "weight": -1})
