"""Predict large images tile by tile, as the evaluation of a run with `data.tile` does."""

from collections.abc import Sequence

import numpy as np
import torch

from ray_al.datasets.tiles import Tile, Tiling
from ray_al.predict.network import Predictor


def predict_tiles(
    predictor: Predictor,
    image: np.ndarray,
    tiling: Tiling,
    *,
    batch_size: int = 1,
    needs_probabilities: bool = False,
) -> tuple[np.ndarray, torch.Tensor | None]:
    """Predict an image of any size, each pixel by the one tile in whose core it lies.

    Args:
        predictor: of the network.
        image: uint8 or float32 (H, W, K), from 0 to 255.
        tiling: of the run.
        batch_size: tiles that pass through the network together.
        needs_probabilities: whether to return them; they take four bytes per class and pixel.

    Returns:
        Class ids, uint8 (H, W), and probabilities, float32 (C, H, W), or None.

    Raises:
        DivergedError: a score is not finite.
    """
    size = (image.shape[0], image.shape[1])
    class_ids = np.zeros(size, dtype=np.uint8)
    probabilities = None
    tiles = tiling.tiles(size)
    for start in range(0, len(tiles), batch_size):
        batch = tiles[start : start + batch_size]
        for tile, scores in zip(batch, _scores(predictor, image, batch, batch_size), strict=False):
            place = np.s_[tile.core.top : tile.core.bottom, tile.core.left : tile.core.right]
            class_ids[place] = tile.cut(predictor.class_ids(scores, tile.window))
            if not needs_probabilities:
                continue
            if probabilities is None:
                probabilities = torch.zeros((len(scores), *size))
            of_window = predictor.probabilities(scores, tile.window).permute(1, 2, 0)
            probabilities[:, *place] = torch.from_numpy(
                tile.cut(of_window.numpy(force=True))
            ).permute(2, 0, 1)
    return class_ids, probabilities


def _scores(
    predictor: Predictor, image: np.ndarray, tiles: Sequence[Tile], batch_size: int
) -> torch.Tensor:
    """Return the scores of tiles from a full batch, so that none depends on their number."""
    seen = [tile.padded(tile.seen_part(image)) for tile in tiles]
    return predictor.scores(seen + [seen[-1]] * (batch_size - len(seen)))
