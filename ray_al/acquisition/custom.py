"""Make an acquisition function of a user's own pixel score, named `package.module:function`."""

from collections.abc import Callable
from typing import ClassVar

import torch

from ray_al.acquisition.acquisition import LogitsAcquisition
from ray_al.core.errors import RayALError


def class_of_function(name: str, function: Callable[..., object]) -> type[LogitsAcquisition]:
    """Return a class that scores with `function`.

    Args:
        name: `package.module:function`, for messages.
        function: (N, C, H, W) float32 logits to an (N, H, W) tensor; higher is more worth
            labelling.
    """

    class OwnFunction(LogitsAcquisition):
        """A function that a user gave."""

        paper: ClassVar[str] = f"{name}, given by the user"

        def score_logits(self, logits_NCHW: torch.Tensor) -> torch.Tensor:
            """Return the checked values of the user's function."""
            return check_pixel_output(function(logits_NCHW), logits_NCHW, name)

    return OwnFunction


def check_pixel_output(values: object, logits_NCHW: torch.Tensor, name: str) -> torch.Tensor:
    """Return `values` as float32 (N, H, W).

    Raises:
        RayALError: `values` is no tensor of that shape, or not all of its numbers are finite.
    """
    count, _, height, width = logits_NCHW.shape
    wanted = (count, height, width)
    if not isinstance(values, torch.Tensor):
        raise RayALError(
            f"{name} returned a {type(values).__name__}; "
            f"it must return a tensor of shape {wanted}, one score per pixel"
        )
    if tuple(values.shape) != wanted:
        raise RayALError(
            f"{name} returned a tensor of shape {tuple(values.shape)}; it must be {wanted}, "
            "one score per pixel"
        )
    values = values.float()
    num_bad = int((~values.isfinite()).sum())
    if num_bad:
        raise RayALError(
            f"{name} returned nan or infinity for {num_bad} of {values.numel()} pixels; "
            "scores must be finite numbers"
        )
    return values
