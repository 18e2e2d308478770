"""Load state dicts from the files that a user names."""

import io

import torch
from torch import nn

from ray_al.core.errors import ConfigError
from ray_al.core.reading import ABSENT, read_uri
from ray_al.models.messages import shortened


def load_state(network: nn.Module, uri: str, *, prefix: str = "") -> None:
    """Load a state dict into `network`.

    Args:
        network: changed in place.
        uri: path or URI of the state dict.
        prefix: if given, only names that begin so are loaded, without the prefix.

    Raises:
        ConfigError: there is no such file, it is no state dict, or one of another network.
    """
    state = read_state(uri)
    part = {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }
    try:
        network.load_state_dict(part)
    except RuntimeError as error:
        raise _refused(uri, error) from None


def read_state(uri: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a state dict by their names.

    Raises:
        ConfigError: there is no such file, or it is no state dict.
    """
    try:
        data = read_uri(uri)
    except ABSENT:
        raise ConfigError(
            f"model.weights {uri!r}: no such file; give the path of a state dict (for a run whose "
            "file has moved: ray-al resume RUN_DIR --set model.weights=PATH), or 'none' or "
            "'backbone'"
        ) from None
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises any kind of error over a broken file
        raise _refused(uri, error) from None
    if not _is_state(state):
        raise _refused(
            uri, TypeError(f"it holds a {type(state).__name__}, and not tensors by their names")
        )
    return dict(state)


def _is_state(state: object) -> bool:
    return isinstance(state, dict) and all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()
    )


def _refused(uri: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"model.weights {uri!r}: not a state dict of this model: {shortened(error)}; save it with "
        "torch.save(model.state_dict(), path)"
    )


def load_backbone_state(network: nn.Module, uri: str, needed: set[str] | None = None) -> None:
    """Load a state dict into a backbone.

    If the file has all names that are needed, tensors are found by them. Other packages give the
    same layers other names: tensors are then matched in their order, and each must have the same
    last part of its name and the same shape. Tensors that are not needed, such as those of the
    classifier of a network that is cut, may be missing or of another shape.

    Args:
        network: with all its layers, in the order in which files hold them; changed in place.
        uri: path or URI of the state dict.
        needed: keys of the network's state dict that are used; None: all.

    Raises:
        ConfigError: there is no such file, it is no state dict, or one of another network.
    """
    given, own = read_state(uri), network.state_dict()
    wanted = set(own) if needed is None else needed
    has_names = wanted <= set(given)
    pairs = {key: key for key in own} if has_names else dict(zip(own, given, strict=False))
    for key in (key for key in own if key in wanted):
        other = pairs.get(key)
        if other is None:
            raise _misfit(uri, f"it ends before {key}, after {len(given)} tensors")
        mine, theirs = tuple(own[key].shape), tuple(given[other].shape)
        if mine != theirs or key.rsplit(".", 1)[-1] != other.rsplit(".", 1)[-1]:
            raise _misfit(uri, f"{other} {theirs} does not fit {key} {mine}")
    network.load_state_dict({key: given[pairs[key]] for key in wanted}, strict=False)


def _misfit(uri: str, reason: str) -> ConfigError:
    return ConfigError(
        f"model.weights {uri!r}: not weights of this backbone: {reason}; give weights of the "
        "network that model.backbone names"
    )
