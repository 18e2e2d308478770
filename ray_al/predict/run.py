"""Predict images with a run's model, in this process or on a cluster, and write the files."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError, Interrupted
from ray_al.datasets.pixels import PixelRule
from ray_al.datasets.tiles import Tiling
from ray_al.driver.cluster import connect
from ray_al.predict.choose import TakenModel, choose_model
from ray_al.predict.forms import FORMS
from ray_al.predict.inputs import assign_names, check_apart, find_images
from ray_al.predict.network import Predictor
from ray_al.predict.output import Output
from ray_al.predict.tiled import predict_tiles
from ray_al.predict.work import (
    Image,
    PredictResult,
    PredictTask,
    images_together,
    predict_task,
    read_like_training,
)
from ray_al.scoring.runner import run_tasks

MAX_TASK = 64
"""Most images of a worker's task, as far as whole batches allow."""
TASKS_PER_WORKER = 4
"""Least number of tasks of each worker, so that all of them end at about the same time."""
PIXEL_TYPES = (np.uint8, np.float32)
"""Types of decoded images that the network takes."""
GPU_BATCH = 8
"""Images of a batch on a GPU, where one image leaves most of it idle."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What predicts.

    Attributes:
        workers: Ray tasks at a time; 0 predicts in the calling process, without Ray.
        gpus: GPUs of each worker: a share up to 1, or a whole number.
        batch_size: images that pass through the network together. None takes 8 on GPUs, the batch
            of the features for a frozen backbone, and else 1, with which predictions are those of
            the run's evaluation bit by bit.
        threads: batches that each worker works on at a time, with one thread of torch each.
    """

    workers: int = 0
    gpus: float = 0.0
    batch_size: int | None = None
    threads: int = 2

    def check(self) -> None:
        """Refuse GPUs that cannot be had.

        Raises:
            ConfigError: a number of GPUs that is neither a share nor whole, or none is here.
        """
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ConfigError(f"--gpus {self.gpus:g}: give a share up to 1, or a whole number")
        if self.gpus and not self.workers and not torch.cuda.is_available():
            raise ConfigError(
                f"--gpus {self.gpus:g}: torch finds no GPU on this machine; leave it out, or let "
                "workers of a cluster predict with --workers"
            )

    def batch(self, config: RunConfig) -> int:
        """Return the number of images that pass through the network together."""
        if self.batch_size is not None:
            return self.batch_size
        if config.model.is_frozen:
            return config.features.batch_size
        return GPU_BATCH if self.gpus else 1

    def applied(self, config: RunConfig) -> RunConfig:
        """Return the configuration of a run of which nothing but the prediction asks for Ray."""
        scoring = {"workers": self.workers, "gpus_per_worker": self.gpus}
        return config.model_copy(
            update={
                "scoring": config.scoring.model_copy(update=scoring),
                "train": config.train.model_copy(update={"workers": 0, "gpus_per_worker": 0.0}),
                "cluster": config.cluster.model_copy(update={"host": "process"}),
            }
        )


@dataclass(kw_only=True)
class _Counts:
    """Counts results, and shows them."""

    total: int
    show: Callable[[int, int], None]
    should_stop: Callable[[], bool]
    num_images: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)

    def on_results(self, results: Sequence[PredictResult]) -> None:
        for result in results:
            self.num_images += result.num_images
            self.refused += result.refused
        self.show(self.num_images + len(self.refused), self.total)

    def watch(self, silent_s: float) -> None:
        if self.should_stop():
            raise Interrupted(
                "interrupted; the predictions that were written stay, and the same command "
                "continues behind them"
            )


def predict_images(
    run_uri: str,
    places: Sequence[str],
    out: str,
    *,
    cycle: int | None = None,
    forms: Sequence[str] = ("ids",),
    resources: Resources | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Predict images and write the predictions below a folder.

    Files that are there already are not made again, so the same call continues after an
    interruption. Images that cannot be used are left out and listed.

    Args:
        run_uri: path or URI of the run directory, which is only read.
        places: files, folders and patterns; paths or URIs.
        out: folder of the predictions: new, empty, or with predictions of the same model.
        cycle: whose model predicts; None for the final model, or else that of the last cycle.
        forms: names of `ray_al.predict.forms.FORMS`.
        resources: what predicts.
        progress: called with the number of images done and in total.
        should_stop: asked often; True ends the work.

    Returns:
        `run`, `model`, `out`, `forms`, `images` (how many were asked for), `predicted`, `skipped`
        (that were there already), `refused` (with `image` and `reason`) and `seconds`.

    Raises:
        ConfigError: something cannot work; nothing was written.
        Interrupted: `should_stop` returned True.
        RayALError: an image, the storage or the cluster failed; the same call continues.
    """
    began = time.monotonic()
    forms, resources = _checked_forms(forms), resources or Resources()
    resources.check()
    check_apart(out, run_uri, places)
    model = choose_model(run_uri, cycle)
    sources = find_images(places)
    output = Output.open(out, model)
    names = assign_names(sources, output.names())
    images = [(source.uri, names[source.uri]) for source in sources]
    done = output.done(forms)
    left = [image for image in images if image[1] not in done]
    config = resources.applied(model.config)
    tasks = list(_tasks(left, model, output.storage.root, forms, resources))
    counts = _Counts(total=len(left), show=progress, should_stop=should_stop)
    if left:
        with connect(config, should_stop=should_stop):
            output.begin(model, names)
            run_tasks(tasks, predict_task, config, counts.on_results, counts.watch)
            output.end(counts.refused)
    return {
        "run": run_uri,
        "model": model.origin,
        "out": out,
        "forms": list(forms),
        "images": len(images),
        "predicted": counts.num_images,
        "skipped": len(images) - len(left),
        "refused": [{"image": uri, "reason": reason} for uri, reason in counts.refused],
        "seconds": time.monotonic() - began,
    }


def _checked_forms(forms: Sequence[str]) -> tuple[str, ...]:
    unknown = [form for form in forms if form not in FORMS]
    if unknown or not forms:
        seen = ", ".join(unknown) or "none"
        raise ConfigError(f"--as {seen}: forms of predictions are {', '.join(FORMS)}")
    return tuple(dict.fromkeys(forms))


def _tasks(
    images: Sequence[Image],
    model: TakenModel,
    out: str,
    forms: tuple[str, ...],
    resources: Resources,
) -> Iterator[PredictTask]:
    batch_size = resources.batch(model.config)
    together = images_together(model.config, batch_size)
    size = resources.threads * together  # one batch a thread, to stop soon after a signal
    if resources.workers:
        share = -(-len(images) // (TASKS_PER_WORKER * resources.workers))
        size = max(1, min(share, MAX_TASK) // together) * together
    for shard, start in enumerate(range(0, len(images), size)):
        yield PredictTask(
            shard=shard,
            images=tuple(images[start : start + size]),
            model=model,
            out=out,
            forms=forms,
            batch_size=batch_size,
            threads=resources.threads,
        )


def predict_arrays(
    run_uri: str, images: Sequence["str | np.ndarray"], cycle: int | None = None
) -> Iterator[np.ndarray]:
    """Yield the predicted class ids of each image, uint8 (H, W) at its own size.

    Args:
        run_uri: path or URI of the run directory.
        images: paths, URIs, or decoded images, uint8 or float32 (H, W, K), from 0 to 255.
        cycle: as for `predict_images`.

    Raises:
        ConfigError: there is no such model, or an array is no image.
        DataError: an image cannot be used.
    """
    model = choose_model(run_uri, cycle)
    predictor, rule = Predictor(model), PixelRule.of(model.config.data)
    channels, tiling = model.config.data.num_channels, Tiling.of(model.config.data)
    for number, given in enumerate(images):
        image = read_like_training(given, rule) if isinstance(given, str) else given
        if image.ndim != 3 or image.shape[2] != channels or image.dtype not in PIXEL_TYPES:
            raise ConfigError(
                f"image {number}: an array of {image.dtype} {image.shape}; "
                f"give uint8 or float32 (height, width, {channels}), from 0 to 255"
            )
        if tiling is not None:
            yield predict_tiles(predictor, image, tiling)[0]
            continue
        yield predictor.class_ids(predictor.scores([image])[0], (image.shape[0], image.shape[1]))
