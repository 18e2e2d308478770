"""Kernels and pooling against slow reference code in float64."""

import math

import numpy as np
import pytest
import torch

from ray_al.score.kernels import ACQUISITIONS
from ray_al.score.pooling import pool_boxes


def reference(name, logits):
    p = [math.exp(x - max(logits)) for x in logits]
    p = sorted((value / sum(p) for value in p), reverse=True)
    if name == "least_confidence":
        return 1 - p[0]
    if name == "margin":
        return 1 - (p[0] - p[1])
    return -sum(value * math.log(value) for value in p if value > 0)


CASES = {
    "random": np.random.default_rng(0).normal(0, 3, (6, 5, 4)),
    "uniform": np.zeros((6, 2, 2)),
    "one-hot": np.where(np.arange(6)[:, None, None] == 2, 1e4, 0.0) * np.ones((1, 3, 3)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["least_confidence", "margin", "entropy", "equal"])
def test_pixel_scores(name, case):
    logits = CASES[case]
    values = ACQUISITIONS[name].pixel_score(torch.from_numpy(logits)[None].float())[0]
    assert torch.isfinite(values).all()
    for y in range(logits.shape[1]):
        for x in range(logits.shape[2]):
            assert values[y, x].item() == pytest.approx(reference(name, logits[:, y, x].tolist()), abs=1e-5)


def test_pooling_counts_cells_by_their_area():
    rng = np.random.default_rng(0)
    height, width, rows, columns = 23, 31, 6, 8
    values = rng.normal(size=(rows, columns))
    fine = 12  # every native pixel as fine x fine samples of the cell below it
    ys = ((np.arange(height * fine) + 0.5) / fine * rows / height).astype(int)
    xs = ((np.arange(width * fine) + 0.5) / fine * columns / width).astype(int)
    dense = values[ys][:, xs]
    boxes = np.array([[0, 0, 23, 31], [0, 0, 5, 7], [7, 11, 12, 30], [22, 30, 23, 31]])
    pooled = pool_boxes(torch.from_numpy(values)[None].float(), boxes, height, width)[0]
    for box, value in zip(boxes, pooled, strict=True):
        top, left, bottom, right = box * fine
        assert value.item() == pytest.approx(dense[top:bottom, left:right].mean(), abs=0.02)
    assert pooled[0].item() == pytest.approx(values.mean(), abs=1e-5)
