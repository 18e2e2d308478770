"""Seconds of a training step and of a forward pass on this machine, by a short measurement."""

import time
from dataclasses import dataclass
from typing import cast

import torch

from ray_al.core.config import RunConfig
from ray_al.datasets.statistics import with_channels
from ray_al.models import build_model
from ray_al.models.composed import ComposedNetwork
from ray_al.models.state import is_split
from ray_al.train.inputs import Inputs

TIMED_STEPS = 3


@dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds of one training step, and of the forward pass of one image."""

    step: float
    forward: float


class Stopwatch:
    """Times each network once for each way of training it."""

    def __init__(self) -> None:
        self._times: dict[str, Times] = {}

    def time(self, config: RunConfig, num_classes: int) -> Times:
        """Return the times of a run's network, with its batch and image size."""
        key = f"{config.model}{config.train}{config.data.image_size}{config.data.channels}"
        if key not in self._times:
            self._times[key] = _measure(config, num_classes)
        return self._times[key]


def _measure(config: RunConfig, num_classes: int) -> Times:
    """Return the shortest times of `TIMED_STEPS` steps, after one that is not timed."""
    torch.set_num_threads(config.train.threads)
    num_channels = with_channels(config).data.num_channels
    untrained = config.model.model_copy(update={"weights": "none"})
    model = build_model(untrained, num_classes, num_channels)
    images = torch.rand(config.train.batch_size, num_channels, *config.data.image_size)
    inputs: Inputs = images
    if is_split(model):  # a frozen backbone sees each image once
        with torch.no_grad():
            inputs = cast(ComposedNetwork, model.eval()).maps(images)
    times = []
    for _ in range(TIMED_STEPS + 1):
        begin = time.perf_counter()
        model.train()
        model(inputs).mean().backward()
        middle = time.perf_counter()
        with torch.inference_mode():
            model.eval()(inputs)
        times.append((middle - begin, (time.perf_counter() - middle) / config.train.batch_size))
    steps, passes = zip(*times[1:], strict=True)
    return Times(step=min(steps), forward=min(passes))
