"""Make networks stochastic when they score, by dropout whose masks are the same for every image.

Gal and Ghahramani, "Dropout as a Bayesian approximation", ICML 2016. Masks that are the same for
every image are the consistent ones of Kirsch et al., "BatchBALD", NeurIPS 2019: one mask is one
sample of the network, with which the whole pool is scored (not confirmed in that paper's text).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import nn

from ray_al.core.errors import ConfigError
from ray_al.core.seeding import generator
from ray_al.models.layers import (
    TraceLeaf,
    candidate_layers,
    check_layer,
    put_behind,
    replace_layer,
    root_of,
)
from ray_al.models.split import SplitNetwork
from ray_al.models.state import in_frozen_backbone

DEFAULT_PROBABILITY = 0.5

_pass: ContextVar[tuple[int, int, int] | None] = ContextVar("_pass", default=None)
"""Seed, cycle and number of the pass that this thread computes.

Several threads call one network for different passes, so the module cannot hold them."""


class PassDropout(TraceLeaf):
    """Dropout of whole channels whose mask follows from (seed, cycle, name, pass number) alone.

    In evaluation mode it is off, except within `dropout_pass`. In training mode it is the layer
    that it replaced, or an `nn.Dropout2d`.

    Args:
        name: of the layer; it is one of the seeds of the masks.
        p: probability that a channel is dropped.
        replaced: the dropout layer that it replaces, if any.
    """

    def __init__(self, name: str, p: float, replaced: nn.Module | None = None) -> None:
        super().__init__()
        self.name = name
        self.p = p
        self.in_training = nn.Dropout2d(p) if replaced is None else replaced

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values with channels dropped and the others divided by 1 - p.

        Args:
            values: (N, C, h, w), or any other shape whose last axis is the channels.
        """
        if not isinstance(values, torch.Tensor):
            raise ConfigError(
                f"strategy.passes.places: the output of {self.name!r} is a "
                f"{type(values).__name__}; name a layer that gives a tensor"
            )
        if self.training:
            output: torch.Tensor = self.in_training(values)
            return output
        if _pass.get() is None:
            return values
        mask = self.mask(values.shape[1 if values.ndim == 4 else -1]).to(values)
        return values * (mask.view(-1, 1, 1) if values.ndim == 4 else mask)

    def mask(self, num_channels: int) -> torch.Tensor:
        """Return the mask of the current pass; only within `dropout_pass`.

        Returns:
            float32 (num_channels,): 0 for a dropped channel, else 1 / (1 - p).
        """
        key = _pass.get()
        assert key is not None, "only within dropout_pass"
        kept = generator("dropout", *key, self.name).random(num_channels) >= self.p
        return torch.from_numpy(kept).float() / (1 - self.p)


@contextmanager
def dropout_pass(seed: int, cycle: int, number: int | None) -> Iterator[None]:
    """Switch every `PassDropout` on in the forwards of this thread, with the masks of one pass.

    Args:
        seed, cycle, number: identify the pass; None as its number switches dropout off.
    """
    token = _pass.set(None if number is None else (seed, cycle, number))
    try:
        yield
    finally:
        _pass.reset(token)


def own_dropouts(model: nn.Module) -> dict[str, nn.Dropout | nn.Dropout2d]:
    """Return the dropout layers that a network was built with, by each of their names.

    Layers with p = 0, and those of a frozen backbone, do not count.
    """
    found: dict[str, nn.Dropout | nn.Dropout2d] = {}
    for name, module in root_of(model).named_modules(remove_duplicate=False):
        is_dropout = isinstance(module, nn.Dropout | nn.Dropout2d) and module.p > 0
        if is_dropout and not in_frozen_backbone(model, name):
            found[name] = module
    return found


def dropout_places(model: nn.Module) -> tuple[str, ...]:
    """Return the layers that get dropout if no place is named.

    These are the network's own dropout layers; without any, the head's last hidden layer. For
    LR-ASPP that is `classifier.cbr`, so its branch of low features has no dropout.

    Raises:
        ConfigError: the network has no dropout layers, and its hidden layer is not known.
    """
    own = tuple(own_dropouts(model))
    if own:
        return own
    if isinstance(model, SplitNetwork) and model.hidden_layer is not None:
        return (model.hidden_layer,)
    names = ", ".join(candidate_layers(model))
    raise ConfigError(
        "strategy.passes.places: the network has no dropout layer; name layers behind which to put "
        f"one, such as {names}"
    )


def with_dropout(
    model: nn.Module, places: Sequence[str] | None, probability: float | None
) -> tuple[nn.Module, str]:
    """Make a network stochastic in evaluation mode, in place; its state dict stays as it was.

    The network's own dropout layers are used. Others are added at the named places, or, if none is
    named, at `dropout_places`.

    Args:
        model: from `build_model`, before `prepare_network`.
        places: names of layers behind which dropout is put, in addition to the network's own.
        probability: of a channel to be dropped; None keeps that of the network's own layers and is
            0.5 for added ones.

    Returns:
        The model, and a description of its dropout.

    Raises:
        ConfigError: an unknown place, with the nearest names; no place known; a probability outside
            (0, 1).
    """
    if probability is not None and not 0 < probability < 1:
        raise ConfigError(
            f"strategy.passes.probability: {probability}; give a number between 0 and 1, both "
            "excluded"
        )
    own = own_dropouts(model)
    added = [
        check_layer(model, name, "strategy.passes.places")
        for name in dict.fromkeys(places or dropout_places(model))
        if name not in own
    ]
    used = _use_own(model, own, probability)
    chance = DEFAULT_PROBABILITY if probability is None else probability
    # Inner layers first: adding behind an outer one changes the names inside it.
    for name in sorted(added, key=lambda name: (-name.count("."), name)):
        put_behind(model, name, PassDropout(name, chance))
    parts = [f"the network's own dropout {name} (p = {layer.p:g})" for name, layer in used.items()]
    parts += [f"dropout added behind {name} (p = {chance:g})" for name in added]
    return model, "; ".join(parts)


def _use_own(
    model: nn.Module, own: dict[str, nn.Dropout | nn.Dropout2d], probability: float | None
) -> dict[str, PassDropout]:
    """Replace a network's own dropout layers; return the new ones by their first names."""
    made: dict[int, PassDropout] = {}  # a layer that has two names stays one layer
    used = {}
    for name, layer in own.items():
        chance = float(layer.p) if probability is None else probability
        if id(layer) not in made:
            made[id(layer)] = used[name] = PassDropout(name, chance, layer)
        replace_layer(root_of(model), name, made[id(layer)])
    return used
