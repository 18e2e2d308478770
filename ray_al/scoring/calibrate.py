"""Measure which batch size scores fastest here, once at a run's start, for its configuration."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from ray_al.acquisition import find_acquisition
from ray_al.core.config import RunConfig
from ray_al.features.embed import load_embedder
from ray_al.scoring.inputs import Features, ImageInputs, Inputs
from ray_al.scoring.scorer import Scorer

CANDIDATES = (1, 2, 4, 8, 16)
SECONDS_EACH = 0.5


def measure_batch_size(config: RunConfig, num_classes: int) -> int:
    """Return the candidate with the most images per second.

    It is measured with an untrained network on noise, with all worker threads busy.
    """
    if not find_acquisition(config.strategy.acquisition).needs_model:
        return CANDIDATES[0]
    scorer = Scorer(config, config.strategy, num_classes, [])
    with ThreadPoolExecutor(
        scorer.worker_threads, initializer=torch.set_num_threads, initargs=(1,)
    ) as executor:
        speeds = {
            size: sum(
                executor.map(
                    lambda _, size=size: _speed(scorer, size), range(scorer.worker_threads)
                )
            )
            for size in CANDIDATES
        }
    return max(CANDIDATES, key=lambda batch_size: speeds[batch_size])


def _speed(scorer: Scorer, batch_size: int) -> float:
    inputs = _noise(scorer, batch_size)
    scorer.maps(inputs)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS_EACH:
        scorer.maps(inputs)
        count += batch_size
    return count / (time.perf_counter() - start)


def _noise(scorer: Scorer, batch_size: int) -> Inputs:
    config, form = scorer.config, scorer.form
    images = np.random.default_rng(0).integers(
        0, 256, (batch_size, *config.data.image_size, config.data.num_channels), dtype=np.uint8
    )
    pixels = ImageInputs(images, config.data.normalize, form)
    if not config.model.is_frozen:
        return pixels
    embedder = load_embedder(config.model_dump_json(), form.device)
    records = list(embedder.records(list(images)))
    return Features(
        records,
        embedder.layout,
        form,
        views={"mirror": records},
        pixels=pixels,
        backbone=embedder.maps,
    )
