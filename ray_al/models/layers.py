"""Layers by name: finding them, putting something behind them, and tracing a network that has such additions."""

import difflib
from typing import Any

import torch
from torch import fx, nn

from ray_al.core.errors import ConfigError
from ray_al.models.foreign import ForeignSegmenter
from ray_al.models.state import FROZEN_PREFIX, is_split

NUM_CANDIDATES = 12


class KeptWhole(nn.Module):
    """Base of modules that stay one call in a traced network, so that folding and fusing leave them where they are."""


class Followed(nn.Module):
    """A module and what comes behind it; its state dict is the module's own, so that weights load with and without."""

    def __init__(self, module: nn.Module, behind: nn.Module) -> None:
        super().__init__()
        self.module, self.behind = module, behind
        self.register_state_dict_post_hook(_without_inner_name)
        self.register_load_state_dict_pre_hook(_with_inner_name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The module's output after what comes behind it."""
        return self.behind(self.module(*args, **kwargs))


def _without_inner_name(
    module: nn.Module, state: dict[str, Any], prefix: str, metadata: dict[str, Any]
) -> None:
    inner = f"{prefix}module."
    for key in [key for key in state if key.startswith(inner)]:
        state[prefix + key.removeprefix(inner)] = state.pop(key)


def _with_inner_name(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    for key in [key for key in state if key.startswith(prefix)]:
        state[f"{prefix}module.{key.removeprefix(prefix)}"] = state.pop(key)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, KeptWhole) or super().is_leaf_module(m, module_qualified_name)


def trace(model: nn.Module) -> fx.GraphModule:
    """The graph of a network; its modules are shared, not copied. Raises what the network raises where it cannot be traced."""
    tracer = _Tracer()
    graph = tracer.trace(model)
    return fx.GraphModule(tracer.root, graph, type(model).__name__)


def root_of(model: nn.Module) -> nn.Module:
    """The module in which layers are named: of another package's network the one that its package names them in."""
    return model.network if isinstance(model, ForeignSegmenter) else model


def check_layer(model: nn.Module, name: str, key: str) -> str:
    """`name`, if it is a layer that is called; `key` is the setting that names it.

    Raises:
        ConfigError: naming the nearest layers; a layer of a frozen backbone, which is not called where features are read.
    """
    called = (
        other for other, module in root_of(model).named_modules() if other and _is_called(module)
    )
    known = [other for other in called if not _is_frozen(model, other)]
    if name in known:
        return name
    near = ", ".join(
        difflib.get_close_matches(name, known, n=3, cutoff=0.5) or candidate_layers(model)
    )
    if _is_frozen(model, name):
        raise ConfigError(
            f"{key}: {name!r} lies in the frozen backbone, whose features are computed once; name a layer of the head, such as {near}"
        )
    raise ConfigError(f"{key}: the network has no layer {name!r}; name one of it, such as {near}")


def _is_frozen(model: nn.Module, name: str) -> bool:
    return is_split(model) and f"{name}.".startswith(FROZEN_PREFIX)


def candidate_layers(model: nn.Module) -> list[str]:
    """Some names to choose from: the last layers of the upper two levels."""
    names = [
        name
        for name, module in root_of(model).named_modules()
        if name.count(".") < 2 and name and _is_called(module)
    ]
    return [name for name in names if not _is_frozen(model, name)][-NUM_CANDIDATES:]


def _is_called(module: nn.Module) -> bool:
    return type(module).forward is not nn.Module.forward  # a ModuleList has none of its own


def replace_layer(root: nn.Module, name: str, layer: nn.Module) -> None:
    """Put `layer` in the place of the one called `name`, in its mode (training or evaluation)."""
    parent, _, leaf = name.rpartition(".")
    layer.train(root.get_submodule(name).training)
    setattr(root.get_submodule(parent), leaf, layer)


def put_behind(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Change `model` so that the output of the layer called `name` (see `check_layer`) passes through `layer`."""
    root = root_of(model)
    replace_layer(root, name, Followed(root.get_submodule(name), layer))
