"""How long a cycle trains, in which order, and at which rate."""

import math

import numpy as np

from ray_al.core.config import RunConfig, TrainConfig
from ray_al.core.errors import ConfigError
from ray_al.core.seeding import generator
from ray_al.core.types import TrainPlan
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
    final = config.with_recipe(config.final.recipe).train
    sizes = {"train.batch_size": train.batch_size, "final.batch_size": final.batch_size}
    for key, size in sizes.items():
        if size < workers:
            raise ConfigError(f"{key}: {size} is fewer than the {workers} workers of train.workers; raise it to {workers} or more")
        least = config.model.min_images * workers
        if size < least:
            message = f"{key}: {size} over {workers} worker(s) leaves one image to a worker, which the head's pooling branch cannot normalise"
            raise ConfigError(f"{message}; raise it to {least} or more")
    if isinstance(train.workers, tuple) and train.workers[0] > train.workers[1]:
        raise ConfigError(f"train.workers: {list(train.workers)} has its minimum above its maximum; swap them")
    if (train.batch_norm.sync or final.batch_norm.sync) and not train.gpus_per_worker:
        key = "train" if train.batch_norm.sync else "final.train"
        raise ConfigError(f"{key}.batch_norm.sync: true needs GPUs (train.gpus_per_worker is 0); set it to false")
    if train.backend == "nccl" and not train.gpus_per_worker:
        raise ConfigError("train.backend: 'nccl' needs GPUs (train.gpus_per_worker is 0); set it to 'gloo'")
    if config.model.is_frozen:
        _check_features(config, train, "train")
        _check_features(config, final, "final.train")


def _check_features(config: RunConfig, train: TrainConfig, section: str) -> None:
    """Refuse what a network with a frozen backbone cannot do, as it never sees an image."""
    if train.augment.scale is not None:
        raise ConfigError(
            f"{section}.augment.scale: {list(train.augment.scale)} changes images, and a frozen backbone (model.frozen) is trained on features of "
            "fixed views; leave it out, and set features.views"
        )
    mirrored = ViewDraw(size=config.data.image_size, mirror=True)
    if any(view.draw("", mirrored.size) == mirrored for view in config.features.views):
        return
    for key, value in {"mirror_loss": train.mirror_loss, "consistency": train.consistency, "mirror_test": train.mirror_test}.items():
        if value:
            raise ConfigError(
                f"{section}.{key}: {value} needs the mirrored image, which features.views lacks; add {{kind: mirror}} to features.views"
            )


def num_steps(plan: TrainPlan, train: TrainConfig, num_images: int, batch_size: int) -> int:
    """Steps of a plan: its own, its extra epochs, else those of its recipe, which `train` follows."""
    if plan.steps is not None:
        return plan.steps
    epoch = math.ceil(num_images / batch_size)
    if plan.extra_epochs is not None:
        return plan.extra_epochs * epoch
    if train.steps is not None:
        return train.steps
    if train.epochs is not None:
        return train.epochs * epoch
    raise ConfigError("train: neither steps nor epochs is set; set one")


def rate_factor(train: TrainConfig, step: int, total: int, num_images: int, batch_size: int) -> float:
    """What the learning rate is multiplied by at `step` of `total`: a linear rise to 1, then the schedule over the steps that are left."""
    rise, schedule = int(train.warmup * total), train.schedule
    if step < rise:
        return (step + 1) / rise
    if schedule != "step":
        step, total = step - rise, total - rise
    if schedule == "poly":
        return (1 - step / total) ** 0.9
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * step / total))
    if schedule == "step":
        epoch = step // math.ceil(num_images / batch_size)
        return 0.1 ** (epoch // train.schedule_step)
    return 1.0


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
