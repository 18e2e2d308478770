"""How long a cycle trains, in which order, and at which rate."""

import numpy as np

from ray_al.core.config import RunConfig, TrainConfig
from ray_al.core.errors import ConfigError
from ray_al.core.seeding import generator
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
            raise ConfigError(
                f"{key}: {size} is fewer than the {workers} workers of train.workers; raise it to {workers} or more"
            )
        least = config.model.min_images * workers
        if size < least:
            message = f"{key}: {size} over {workers} worker(s) leaves one image to a worker, which the head's pooling branch cannot normalise"
            raise ConfigError(f"{message}; raise it to {least} or more")
    if isinstance(train.workers, tuple) and train.workers[0] > train.workers[1]:
        raise ConfigError(
            f"train.workers: {list(train.workers)} has its minimum above its maximum; swap them"
        )
    if (train.batch_norm.sync or final.batch_norm.sync) and not train.gpus_per_worker:
        key = "train" if train.batch_norm.sync else "final.train"
        raise ConfigError(
            f"{key}.batch_norm.sync: true needs GPUs (train.gpus_per_worker is 0); set it to false"
        )
    if train.backend == "nccl" and not train.gpus_per_worker:
        raise ConfigError(
            "train.backend: 'nccl' needs GPUs (train.gpus_per_worker is 0); set it to 'gloo'"
        )
    if config.model.is_frozen:
        _check_features(config, train, "train")
        _check_features(config, final, "final.train")
    for section, settings in (("train", train), ("final.train", final)):
        if settings.semi is not None and not config.model.is_frozen:
            kind = settings.semi.kind
            raise ConfigError(
                f"{section}.semi: {kind!r} compares views of cached features; set model.frozen to true, or leave semi out"
            )


def _check_features(config: RunConfig, train: TrainConfig, section: str) -> None:
    """Refuse what a network with a frozen backbone cannot do, as it never sees an image."""
    if train.augment.scale is not None:
        raise ConfigError(
            f"{section}.augment.scale: {list(train.augment.scale)} changes images, and a frozen backbone (model.frozen) is trained on features of "
            "fixed views; leave it out, and set features.views"
        )
    paired = {"mirror_loss": train.mirror_loss, "consistency": train.consistency}
    for key, value in paired.items():
        if value and train.semi is not None:
            kind = train.semi.kind
            raise ConfigError(
                f"{section}.semi: {kind!r} learns from drawn views, and {section}.{key}={value} from pairs of fixed ones; keep one"
            )
    mirrored = ViewDraw(size=config.data.image_size, mirror=True)
    if any(view.draw("", mirrored.size) == mirrored for view in config.features.views):
        return
    for key, value in {**paired, "mirror_test": train.mirror_test}.items():
        if value:
            raise ConfigError(
                f"{section}.{key}: {value} needs the mirrored image, which features.views lacks; add {{kind: mirror}} to features.views"
            )


def batch_indices(
    indices: list[int], seed: int, cycle: int, step: int, batch_size: int
) -> list[int]:
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
