"""How long a cycle trains, in which order, and at which rate."""

from dataclasses import fields

import numpy as np

from ray_al.core.config import FinalConfig, RunConfig, TrainConfig
from ray_al.core.errors import ConfigError
from ray_al.core.seeding import generator
from ray_al.core.types import Recipe
from ray_al.features.geometry import ViewDraw


def max_workers(train: TrainConfig) -> int:
    """The largest number of processes that share a batch."""
    return max(1, train.workers if isinstance(train.workers, int) else max(train.workers))


def check_train(config: RunConfig) -> None:
    """Refuse training settings that fail only once training runs.

    Raises:
        ConfigError: naming the key, the value and the remedy.
    """
    train = config.train
    workers = max_workers(train)
    sizes = {"train.batch_size": train.batch_size, "final.batch_size": _final_batch(config.final, train)}
    for key, size in sizes.items():
        if size < workers:
            raise ConfigError(f"{key}: {size} is fewer than the {workers} workers of train.workers; raise it to {workers} or more")
        if config.model.kind == "network" and "deeplab" in config.model.name.lower() and size < 2 * workers:
            message = f"{key}: {size} over {workers} worker(s) leaves one image to a worker, which DeepLab's pooling branch cannot normalise"
            raise ConfigError(f"{message}; raise it to {2 * workers} or more")
    if isinstance(train.workers, tuple) and train.workers[0] > train.workers[1]:
        raise ConfigError(f"train.workers: {list(train.workers)} has its minimum above its maximum; swap them")
    if train.batch_norm.sync and not train.gpus_per_worker:
        raise ConfigError("train.batch_norm.sync: true needs GPUs (train.gpus_per_worker is 0); set it to false")
    if train.backend == "nccl" and not train.gpus_per_worker:
        raise ConfigError("train.backend: 'nccl' needs GPUs (train.gpus_per_worker is 0); set it to 'gloo'")
    if config.model.is_frozen:
        _check_features(config)
    elif train.semi is not None:
        raise ConfigError(
            f"train.semi: {train.semi.kind!r} compares views of cached features, and model.frozen is not true; set it, or leave semi out"
        )


def _check_features(config: RunConfig) -> None:
    """Refuse what a network with a frozen backbone cannot do, as it never sees an image."""
    train = config.train
    if train.augment.scale is not None:
        raise ConfigError(
            f"train.augment.scale: {list(train.augment.scale)} changes images, and a frozen backbone (model.frozen) is trained on features of "
            "fixed views; leave it out, and set features.views"
        )
    paired = {"mirror_loss": train.mirror_loss, "consistency": train.consistency}
    for key, value in paired.items():
        if value and train.semi is not None:
            raise ConfigError(f"train.semi: {train.semi.kind!r} learns from drawn views, and train.{key}={value} from pairs of fixed ones; keep one")
    mirrored = ViewDraw(size=config.data.image_size, mirror=True)
    if any(view.draw("", mirrored.size) == mirrored for view in config.features.views):
        return
    for key, value in {**paired, "mirror_test": train.mirror_test}.items():
        if value:
            raise ConfigError(f"train.{key}: {value} needs the mirrored image, which features.views lacks; add {{kind: mirror}} to features.views")


def _final_batch(final: FinalConfig, train: TrainConfig) -> int:
    return final.batch_size or train.batch_size


def with_recipe(train: TrainConfig, recipe: Recipe) -> TrainConfig:
    """The settings of a plan: `train`, where its recipe does not differ."""
    given = {field.name: getattr(recipe, field.name) for field in fields(recipe)}
    changes = {key: value for key, value in given.items() if value is not None and key in TrainConfig.model_fields}
    if "steps" in changes or "epochs" in changes:
        changes = {"steps": None, "epochs": None, **changes}
    return train.model_copy(update=changes)


def batch_indices(indices: list[int], seed: int, cycle: int, step: int, batch_size: int) -> list[int]:
    """The global batch of a step: always full, running on into the next shuffled epoch.

    Returns:
        `batch_size` members of `indices`; worker r of w trains on positions r, r + w, …
    """
    orders: dict[int, np.ndarray] = {}
    batch = []
    for position in range(step * batch_size, (step + 1) * batch_size):
        epoch, place = divmod(position, len(indices))
        if epoch not in orders:
            orders[epoch] = generator("order", seed, cycle, epoch).permutation(len(indices))
        batch.append(indices[orders[epoch][place]])
    return batch
