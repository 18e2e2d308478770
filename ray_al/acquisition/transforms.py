"""Transform images by name, and bring predictions back to the geometry of the original image."""

import math
from functools import partial

import torch

from ray_al.acquisition.views import PredictionStatistics
from ray_al.core.errors import ConfigError

FLIPPED_AXES = {"mirror": -1, "flip": -2}
"""`mirror` swaps left and right, `flip` top and bottom."""
QUARTER_TURNS = {"rotate90": 1, "rotate180": 2, "rotate270": 3}
"""Anticlockwise."""
SCALE = "scale"
LEAST_FACTOR = 0.01
"""Smallest factor of `scale`; below it, nothing can be seen."""
MOST_FACTOR = 8
"""Largest factor of `scale`; above it, images exceed memory."""


def check_transform(name: str) -> None:
    """Refuse a name that is not a transform.

    Raises:
        ConfigError: an unknown name, or a factor that is not a number or out of bounds.
    """
    if name not in FLIPPED_AXES and name not in QUARTER_TURNS:
        _factor(name)


def apply(name: str, images_NCHW: torch.Tensor) -> torch.Tensor:
    """Return the transformed images.

    `scaleX` makes each side X times as long, at least one pixel, bilinear with antialiasing.
    """
    if name in FLIPPED_AXES:
        return images_NCHW.flip(FLIPPED_AXES[name])
    if name in QUARTER_TURNS:
        return images_NCHW.rot90(QUARTER_TURNS[name], (-2, -1))
    size = [max(1, round(side * _factor(name))) for side in images_NCHW.shape[-2:]]
    scaled = torch.nn.functional.interpolate(
        images_NCHW.float(), size=size, mode="bilinear", align_corners=False, antialias=True
    )
    return scaled.to(images_NCHW.dtype)


def invert(name: str, logits_NChw: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return logits, or other maps, of transformed images in the geometry of the original ones.

    Args:
        name: of the transform that the images went through.
        logits_NChw: at any resolution.
        size: height and width of the result, reached by bilinear interpolation if flipping or
            turning back does not give it.

    Returns:
        (N, C, *size).
    """
    check_transform(name)
    if name in FLIPPED_AXES:
        logits_NChw = logits_NChw.flip(FLIPPED_AXES[name])
    elif name in QUARTER_TURNS:
        logits_NChw = logits_NChw.rot90(-QUARTER_TURNS[name], (-2, -1))
    if tuple(logits_NChw.shape[-2:]) == tuple(size):
        return logits_NChw
    return torch.nn.functional.interpolate(
        logits_NChw, size=tuple(size), mode="bilinear", align_corners=False
    )


def add_transformed(
    views: PredictionStatistics, name: str, logits_NChw: torch.Tensor, size: tuple[int, int]
) -> None:
    """Add the prediction for transformed images to the views of the original ones.

    Args:
        views: whose passes have `size`, height and width.
        name: of the transform.
        logits_NChw: of the transformed images.
        size: as for `invert`.
    """
    turned = name in QUARTER_TURNS and QUARTER_TURNS[name] % 2
    exact = not name.startswith(SCALE) and tuple(logits_NChw.shape[-2:]) == (
        tuple(size)[::-1] if turned else tuple(size)
    )
    if exact:
        views.add(logits_NChw, partial(invert, name, size=size))
    else:
        # The entropy must be that of the resized prediction: with resized entropies, passes would
        # seem to disagree at edges.
        views.add(invert(name, logits_NChw, size))


def _factor(name: str) -> float:
    try:
        factor = float(name.removeprefix(SCALE)) if name.startswith(SCALE) else math.nan
    except ValueError:
        factor = math.nan
    if not LEAST_FACTOR <= factor <= MOST_FACTOR:
        known = ", ".join([*FLIPPED_AXES, *QUARTER_TURNS])
        factors = f"{SCALE}X with a factor from {LEAST_FACTOR} to {MOST_FACTOR}, like scale0.5"
        raise ConfigError(
            f"strategy.transforms: {name!r} is no transform; give one of {known}, or {factors}"
        )
    return factor
