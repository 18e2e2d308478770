"""A user's own pixel score, named `package.module:function`."""

import importlib
from collections.abc import Callable
from typing import Any

import torch

from ray_al.core.errors import ConfigError, RayALError
from ray_al.score.functions.acquisition import Acquisition, ScoreOptions


def import_acquisition(name: str) -> Acquisition:
    """The function `package.module:function`, (N, C, H, W) float32 logits to an (N, H, W) tensor, higher is more worth labelling.

    Raises:
        ConfigError: it cannot be imported, is not there or cannot be called.
    """
    function = _import(name)

    def pixel(logits_NCHW: torch.Tensor, options: ScoreOptions) -> torch.Tensor:
        return check_pixel_output(function(logits_NCHW), logits_NCHW, name)

    return Acquisition(paper=f"{name}, given by the user", inputs="logits", pixel=pixel)


def check_pixel_output(values: object, logits_NCHW: torch.Tensor, name: str) -> torch.Tensor:
    """`values` as float32 (N, H, W).

    Raises:
        RayALError: not a tensor of that shape, or not all numbers are finite.
    """
    count, _, height, width = logits_NCHW.shape
    wanted = (count, height, width)
    if not isinstance(values, torch.Tensor):
        raise RayALError(f"{name} returned a {type(values).__name__}; it must return a tensor of shape {wanted}, one score a pixel")
    if tuple(values.shape) != wanted:
        raise RayALError(f"{name} returned a tensor of shape {tuple(values.shape)}; it must be {wanted}, one score a pixel")
    values = values.float()
    num_bad = int((~values.isfinite()).sum())
    if num_bad:
        raise RayALError(f"{name} returned nan or infinity for {num_bad} of {values.numel()} pixels; scores must be finite numbers")
    return values


def _import(name: str) -> Callable[..., Any]:
    module_name, _, attribute = name.partition(":")
    if not attribute.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise ConfigError(f"strategy.score {name!r}: not of the form package.module:function; correct the name")
    try:
        function = getattr(importlib.import_module(module_name), attribute)
    except ImportError as error:
        raise ConfigError(f"strategy.score {name!r}: cannot import {module_name!r} ({error}); install its package or correct the name") from None
    except AttributeError:
        raise ConfigError(f"strategy.score {name!r}: {module_name} has no {attribute!r}; correct the part after the colon") from None
    if not callable(function):
        message = f"strategy.score {name!r}: {attribute} is a {type(function).__name__} and cannot be called"
        raise ConfigError(f"{message}; name a function of (N, C, H, W) logits that returns (N, H, W) scores")
    return function  # type: ignore[no-any-return]
