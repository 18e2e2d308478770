"""Dropout at scoring time: Gal and Ghahramani (2016), Dropout as a Bayesian approximation, with masks that are the same for every image.

Such masks are the consistent ones of Kirsch et al. (2019), BatchBALD: one mask is one sample of the network, with which the whole
pool is scored (the section that says so was not confirmed).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import nn

from ray_al.core.errors import ConfigError
from ray_al.core.seeding import generator
from ray_al.models.layers import (
    KeptWhole,
    candidate_layers,
    check_layer,
    put_behind,
    replace_layer,
    root_of,
)
from ray_al.models.split import SplitNetwork
from ray_al.models.state import FROZEN_PREFIX, is_split

DEFAULT_PROBABILITY = 0.5

_pass: ContextVar[tuple[int, int, int] | None] = ContextVar("_pass", default=None)
"""Seed, cycle and number of the pass that this thread computes."""


class PassDropout(KeptWhole):
    """Dropout of whole channels whose mask follows from (seed, cycle, name, pass number) alone.

    In evaluation mode it is off but within `dropout_pass`. In training mode it is the layer that it replaced, or an `nn.Dropout2d`.

    Args:
        name: of the layer, one of its masks' seeds.
        p: probability that a channel is dropped.
        replaced: the dropout layer whose place it takes.
    """

    def __init__(self, name: str, p: float, replaced: nn.Module | None = None) -> None:
        super().__init__()
        self.name, self.p = name, p
        self.in_training = nn.Dropout2d(p) if replaced is None else replaced

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The values with channels dropped and the rest divided by 1 - p; channels are axis 1 of (N, C, h, w), else the last axis."""
        if not isinstance(values, torch.Tensor):
            raise ConfigError(
                f"strategy.passes.places: the output of {self.name!r} is a {type(values).__name__}; name a layer that gives a tensor"
            )
        if self.training:
            output: torch.Tensor = self.in_training(values)
            return output
        if _pass.get() is None:
            return values
        mask = self.mask(values.shape[1 if values.ndim == 4 else -1]).to(values)
        return values * (mask.view(-1, 1, 1) if values.ndim == 4 else mask)

    def mask(self, num_channels: int) -> torch.Tensor:
        """Within `dropout_pass`, float32 (C,): 0 where a channel is dropped, else 1 / (1 - p)."""
        key = _pass.get()
        assert key is not None, "only within dropout_pass"
        kept = generator("dropout", *key, self.name).random(num_channels) >= self.p
        return torch.from_numpy(kept).float() / (1 - self.p)


@contextmanager
def dropout_pass(seed: int, cycle: int, number: int | None) -> Iterator[None]:
    """Switch every `PassDropout` on, with the masks of this pass, in the forwards of this thread; None switches them off."""
    token = _pass.set(None if number is None else (seed, cycle, number))
    try:
        yield
    finally:
        _pass.reset(token)


def own_dropouts(model: nn.Module) -> dict[str, nn.Module]:
    """The dropout layers a network was built with, by each of their names; one with p = 0 is none, nor is one of a frozen backbone."""
    modules = root_of(model).named_modules(remove_duplicate=False)
    found = {
        name: module
        for name, module in modules
        if isinstance(module, nn.Dropout | nn.Dropout2d) and module.p > 0
    }
    return {
        name: module
        for name, module in found.items()
        if not (is_split(model) and name.startswith(FROZEN_PREFIX))
    }


def dropout_places(model: nn.Module) -> tuple[str, ...]:
    """Where a network gets its dropout when no place is named: its own dropout layers, else behind its head's last hidden layer.

    LR-ASPP: behind `classifier.cbr`, so that the branch of the low features has none.

    Raises:
        ConfigError: a network without dropout layers whose hidden layer is not known.
    """
    own = tuple(own_dropouts(model))
    if own:
        return own
    if isinstance(model, SplitNetwork) and model.hidden_layer is not None:
        return (model.hidden_layer,)
    names = ", ".join(candidate_layers(model))
    raise ConfigError(
        f"strategy.passes.places: the network has no dropout layer; name layers behind which to put one, such as {names}"
    )


def with_dropout(
    model: nn.Module, places: Sequence[str] | None, probability: float | None
) -> tuple[nn.Module, str]:
    """Make a network stochastic in evaluation mode, in place; its state dict stays as it was.

    The network's own dropout layers are used. Where it has none, layers are added at `dropout_places`; where places are named, there.

    Args:
        model: from `build_model`, before `prepare_network`.
        places: names of layers behind which a dropout is put, beside the network's own.
        probability: of a channel to be dropped; None keeps that of the network's own layers and is 0.5 for added ones.

    Returns:
        The model, and a description for reports.

    Raises:
        ConfigError: unknown place, with the nearest names; no place known; a probability outside (0, 1).
    """
    if probability is not None and not 0 < probability < 1:
        raise ConfigError(
            f"strategy.passes.probability: {probability}; it must lie between 0 and 1, both excluded"
        )
    own = own_dropouts(model)
    added = [
        check_layer(model, name, "strategy.passes.places")
        for name in dict.fromkeys(places or dropout_places(model))
        if name not in own
    ]
    used = _use_own(model, own, probability)
    chance = DEFAULT_PROBABILITY if probability is None else probability
    # Inner layers first: behind an outer one the names inside it change.
    for name in sorted(added, key=lambda name: (-name.count("."), name)):
        put_behind(model, name, PassDropout(name, chance))
    parts = [f"the network's own dropout {name} (p = {layer.p:g})" for name, layer in used.items()]
    parts += [f"dropout added behind {name} (p = {chance:g})" for name in added]
    return model, "; ".join(parts)


def _use_own(
    model: nn.Module, own: dict[str, nn.Module], probability: float | None
) -> dict[str, PassDropout]:
    made: dict[int, PassDropout] = {}  # a layer that has two names stays one layer
    used = {}
    for name, layer in own.items():
        chance = float(layer.p) if probability is None else probability  # type: ignore[arg-type]
        if id(layer) not in made:
            made[id(layer)] = used[name] = PassDropout(name, chance, layer)
        replace_layer(root_of(model), name, made[id(layer)])
    return used
