"""Predict the images of a task and write the files: the work of one process."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from ray_al.core.config import RunConfig
from ray_al.core.errors import DataError, RayALError
from ray_al.datasets.images import read_image
from ray_al.datasets.pixels import OtherPixelsError, PixelRule, to_picture
from ray_al.datasets.tiles import Tiling
from ray_al.predict.choose import TakenModel
from ray_al.predict.forms import FORMS, Prediction
from ray_al.predict.network import Predictor, load_predictor
from ray_al.predict.output import Output
from ray_al.predict.tiled import predict_tiles
from ray_al.scoring.readers import score_device

Image = tuple[str, str]
"""URI of an image, and the name of its predictions."""


@dataclass(frozen=True, kw_only=True)
class PredictTask:
    """Images that one process predicts together.

    Attributes:
        shard: its number.
        images: a multiple of `images_together`, except in the last task.
        out: folder of the predictions.
        forms: names of the forms that are written.
        batch_size: images or tiles that pass through the network together.
        threads: batches that are worked on at a time, each with one thread of torch.
    """

    shard: int
    images: tuple[Image, ...]
    model: TakenModel
    out: str
    forms: tuple[str, ...]
    batch_size: int
    threads: int


@dataclass(frozen=True, kw_only=True)
class PredictResult:
    """The result of a task.

    Attributes:
        num_images: images that were predicted.
        refused: pairs of URI and reason.
        seconds: time that the work took.
    """

    num_images: int
    refused: tuple[tuple[str, str], ...]
    seconds: float


def images_together(config: RunConfig, batch_size: int) -> int:
    """Return how many images are read together: a batch, or one that has tiles of its own.

    Several large images would not fit into memory, and the tiles of one fill the batches.
    """
    return batch_size if config.data.tile is None else 1


def read_like_training(uri: str, rule: PixelRule) -> np.ndarray:
    """Return `read_image(uri, rule)` for a network whose settings cannot change any more.

    Raises:
        DataError: the image cannot be used.
        ReadError: it cannot be read at the moment.
    """
    try:
        return read_image(uri, rule)
    except OtherPixelsError as error:
        raise DataError(
            f"{error.fact}; convert it to an image of the kind that the run was trained on"
        ) from None


def predict_task(task: PredictTask, config: RunConfig) -> PredictResult:
    """Predict the images of a task; the files do not depend on where or how often it runs.

    Args:
        task: the images.
        config: says whether a GPU computes (`scoring.gpus_per_worker`).

    Raises:
        ReadError: an image cannot be read at the moment.
        RayALError: there is too little memory, or the model cannot be used.
    """
    began = time.perf_counter()
    predictor = load_predictor(task.model, score_device(config))
    worker = _Worker(task, predictor)
    together = images_together(task.model.config, task.batch_size)
    starts = range(0, len(task.images), together)
    batches = [task.images[start : start + together] for start in starts]
    threads = ThreadPoolExecutor(task.threads, initializer=torch.set_num_threads, initargs=(1,))
    refused: list[tuple[str, str]] = []
    try:
        for unusable in threads.map(worker.predict, batches):
            refused += unusable
    except MemoryError as error:
        raise RayALError(
            f"not enough memory to predict an image ({error}); lower --threads or --batch-size"
        ) from None
    finally:
        threads.shutdown(wait=True, cancel_futures=True)
    return PredictResult(
        num_images=len(task.images) - len(refused),
        refused=tuple(refused),
        seconds=time.perf_counter() - began,
    )


class _Worker:
    def __init__(self, task: PredictTask, predictor: Predictor) -> None:
        self.task = task
        self.predictor = predictor
        self.output = Output(task.out)
        self.forms = [FORMS[name] for name in task.forms]
        self.needs_probabilities = any(form.needs_probabilities for form in self.forms)
        self.rule = PixelRule.of(task.model.config.data)
        self.tiling = Tiling.of(task.model.config.data)

    def predict(self, images: Sequence[Image]) -> list[tuple[str, str]]:
        """Predict images together, write the files, and return those that cannot be used."""
        pixels: dict[str, np.ndarray] = {}
        refused: list[tuple[str, str]] = []
        for uri, name in images:
            try:
                pixels[name] = read_like_training(uri, self.rule)
            except DataError as error:
                refused.append((uri, str(error)))
        if pixels and self.tiling is not None:
            self._write_tiled(pixels, self.tiling)
        elif pixels:
            self._write(pixels)
        return refused

    def _write_tiled(self, pixels: dict[str, np.ndarray], tiling: Tiling) -> None:
        """Predict images of any size tile by tile; the tiles of an image make full batches."""
        for name, image in pixels.items():
            class_ids, probabilities = predict_tiles(
                self.predictor,
                image,
                tiling,
                batch_size=self.task.batch_size,
                needs_probabilities=self.needs_probabilities,
            )
            self._encode(name, image, class_ids, probabilities)

    def _write(self, pixels: dict[str, np.ndarray]) -> None:
        members = list(pixels.values())
        # A full batch, so that no prediction depends on how many images came together.
        padded = members + [members[-1]] * (self.task.batch_size - len(members))
        scores = self.predictor.scores(padded)
        for (name, image), values in zip(pixels.items(), scores, strict=False):
            size = (image.shape[0], image.shape[1])
            probabilities = (
                self.predictor.probabilities(values, size) if self.needs_probabilities else None
            )
            self._encode(name, image, self.predictor.class_ids(values, size), probabilities)

    def _encode(
        self,
        name: str,
        image: np.ndarray,
        class_ids: np.ndarray,
        probabilities: torch.Tensor | None,
    ) -> None:
        prediction = Prediction(
            image=to_picture(image, self.task.model.config.data.shown_positions),
            class_ids=class_ids,
            probabilities=probabilities,
        )
        for form in self.forms:
            self.output.write(form.name, name, form.encode(prediction, self.task.model))
