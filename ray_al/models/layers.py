"""Find layers by name, put something behind them, and trace networks with such additions."""

import difflib
from typing import Any

import torch
from torch import fx, nn

from ray_al.core.errors import ConfigError
from ray_al.models.foreign import ForeignSegmenter
from ray_al.models.state import in_frozen_backbone

NUM_CANDIDATES = 12
"""How many names of layers a message offers at most."""


class TraceLeaf(nn.Module):
    """Base of modules that tracing does not enter, so folding and fusing leave them as they are."""


class Chained(nn.Module):
    """A module followed by another one.

    Its state dict is that of the module alone, so weights load with and without the second one.

    Args:
        module: any module.
        behind: takes the output of `module`.
    """

    def __init__(self, module: nn.Module, behind: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.behind = behind
        self.register_state_dict_post_hook(_without_inner_name)
        self.register_load_state_dict_pre_hook(_with_inner_name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:  # as those of the wrapped module
        """Return the output of `behind` for the output of `module`."""
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
    """A tracer that does not enter modules of `TraceLeaf`."""

    def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, TraceLeaf) or super().is_leaf_module(m, module_qualified_name)


def trace(model: nn.Module) -> fx.GraphModule:
    """Return the graph of a network; its modules are shared, not copied.

    A network that cannot be traced raises its own exceptions.
    """
    tracer = _Tracer()
    graph = tracer.trace(model)
    return fx.GraphModule(tracer.root, graph, type(model).__name__)


def root_of(model: nn.Module) -> nn.Module:
    """Return the module that names of layers are relative to.

    For a network of another package, that is the module that this package names them in.
    """
    return model.network if isinstance(model, ForeignSegmenter) else model


def check_layer(model: nn.Module, name: str, key: str) -> str:
    """Return `name` if it is a layer that is called.

    Args:
        model: from `build_model`.
        name: of a layer.
        key: the setting that names it, for messages.

    Raises:
        ConfigError: there is no such layer, with the nearest names; or it is a layer of a frozen
            backbone, which is not called when features are read.
    """
    known = []
    for other, module in root_of(model).named_modules():
        if other and _is_called(module) and not in_frozen_backbone(model, other):
            known.append(other)
    if name in known:
        return name
    near = ", ".join(
        difflib.get_close_matches(name, known, n=3, cutoff=0.5) or candidate_layers(model)
    )
    if in_frozen_backbone(model, name):
        raise ConfigError(
            f"{key}: {name!r} is in the frozen backbone, whose features are computed once; name a "
            f"layer of the head, such as {near}"
        )
    raise ConfigError(f"{key}: the network has no layer {name!r}; name one of it, such as {near}")


def candidate_layers(model: nn.Module) -> list[str]:
    """Return some names to choose from: the last layers of the upper two levels."""
    names = []
    for name, module in root_of(model).named_modules():
        is_upper = bool(name) and name.count(".") < 2
        if is_upper and _is_called(module) and not in_frozen_backbone(model, name):
            names.append(name)
    return names[-NUM_CANDIDATES:]


def _is_called(module: nn.Module) -> bool:
    """Return whether a module has a forward of its own; a ModuleList has none."""
    return type(module).forward is not nn.Module.forward


def replace_layer(root: nn.Module, name: str, layer: nn.Module) -> None:
    """Replace the layer called `name`; the new one takes its mode (training or evaluation)."""
    parent, _, leaf = name.rpartition(".")
    layer.train(root.get_submodule(name).training)
    setattr(root.get_submodule(parent), leaf, layer)


def put_behind(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Pass the output of the layer called `name` (see `check_layer`) through `layer`, in place."""
    root = root_of(model)
    replace_layer(root, name, Chained(root.get_submodule(name), layer))
