"""A user's own pixel score, named `package.module:function`."""

import torch

from ray_al.core.errors import RayALError
from ray_al.core.imports import import_function
from ray_al.score.functions.acquisition import Acquisition, ScoreOptions


def import_acquisition(name: str) -> Acquisition:
    """The function `package.module:function`, (N, C, H, W) float32 logits to an (N, H, W) tensor, higher is more worth labelling.

    Raises:
        ConfigError: it cannot be imported, is not there or cannot be called.
    """
    function = import_function(
        "strategy.score",
        name,
        wanted="a function of (N, C, H, W) logits that returns (N, H, W) scores",
    )

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
        raise RayALError(
            f"{name} returned a {type(values).__name__}; it must return a tensor of shape {wanted}, one score a pixel"
        )
    if tuple(values.shape) != wanted:
        raise RayALError(
            f"{name} returned a tensor of shape {tuple(values.shape)}; it must be {wanted}, one score a pixel"
        )
    values = values.float()
    num_bad = int((~values.isfinite()).sum())
    if num_bad:
        raise RayALError(
            f"{name} returned nan or infinity for {num_bad} of {values.numel()} pixels; scores must be finite numbers"
        )
    return values
