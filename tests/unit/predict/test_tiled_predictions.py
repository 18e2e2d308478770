"""Predictions of tiles are those of the whole image if the overlap covers what a network sees."""

from typing import cast

import numpy as np
import pytest
import torch
from torch import nn

from ray_al.datasets.tiles import Tiling
from ray_al.predict.network import Predictor
from ray_al.predict.tiled import predict_tiles

RADIUS = 3
"""Pixels around one on which its scores depend."""


class LocalPredictor:
    """Applies random convolutions of 7 pixels in all to images of any size."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        channels = ((3, 4), (4, 4), (4, 3))
        layers = (nn.Conv2d(before, after, 3, padding=1) for before, after in channels)
        self.network = nn.Sequential(*(nn.Sequential(layer, nn.Tanh()) for layer in layers))

    @torch.inference_mode()
    def scores(self, images: list[np.ndarray]) -> torch.Tensor:
        batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
        found: torch.Tensor = self.network(batch) * 10
        return found

    def probabilities(self, scores: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        assert tuple(scores.shape[1:]) == size
        return scores.softmax(0)

    def class_ids(self, scores: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
        ids: np.ndarray = scores.argmax(0).to(torch.uint8).numpy()
        return ids


@pytest.mark.parametrize("batch_size", [1, 4])
def test_no_seam_if_half_of_the_overlap_is_what_a_pixel_sees(batch_size):
    predictor = LocalPredictor()
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    whole = predictor.probabilities(predictor.scores([image])[0], (64, 96))

    def largest_difference(overlap: int) -> float:
        ids, probabilities = predict_tiles(
            cast(Predictor, predictor),
            image,
            Tiling((32, 48), overlap),
            batch_size=batch_size,
            needs_probabilities=True,
        )
        assert probabilities is not None
        assert (torch.from_numpy(ids) == probabilities.argmax(0)).all()
        return float((probabilities - whole).abs().max())

    assert largest_difference(2 * RADIUS) < 1e-5
    assert largest_difference(0) > 0.01
