"""Checks of the training settings that need more than the settings' own types."""

from ray_al.core.config import RunConfig, TrainConfig
from ray_al.core.errors import ConfigError
from ray_al.features.geometry import ViewDraw


def max_workers(train: TrainConfig) -> int:
    """Return the largest number of processes that share a batch."""
    return max(1, train.workers if isinstance(train.workers, int) else max(train.workers))


def check_train(config: RunConfig) -> None:
    """Check training settings that would otherwise fail only when training runs.

    Raises:
        ConfigError: a setting cannot work; the message names key, value and remedy.
    """
    train = config.train
    final = config.with_recipe(config.final.recipe).train
    _check_batch_sizes(config, {"train": train, "final": final})
    if isinstance(train.workers, tuple) and train.workers[0] > train.workers[1]:
        raise ConfigError(
            f"train.workers: {list(train.workers)} has its minimum above its maximum; swap them"
        )
    if not train.gpus_per_worker:
        _check_without_gpus(train, final)
    for section, settings in {"train": train, "final.train": final}.items():
        settings.loss.check(config, f"{section}.loss")
        _check_kept(config, settings, section)
        if config.model.is_frozen:
            _check_features(config, settings, section)
        elif settings.semi is not None:
            raise ConfigError(
                f"{section}.semi: {settings.semi.kind!r} compares views of cached features; set "
                "model.frozen to true, or leave semi out"
            )


def _check_batch_sizes(config: RunConfig, sections: dict[str, TrainConfig]) -> None:
    """Check that every worker gets enough images of a batch."""
    workers = max_workers(config.train)
    least = config.model.min_images * workers
    for section, settings in sections.items():
        size = settings.batch_size
        if size < workers:
            raise ConfigError(
                f"{section}.batch_size: {size} is fewer than the {workers} workers of "
                f"train.workers; raise it to {workers} or more"
            )
        if size < least:
            raise ConfigError(
                f"{section}.batch_size: {size} over {workers} worker(s) leaves one image to a "
                "worker, which the head's pooling branch cannot normalise; raise it to "
                f"{least} or more"
            )


def _check_without_gpus(train: TrainConfig, final: TrainConfig) -> None:
    """Refuse settings that need GPUs."""
    for section, settings in {"train": train, "final.train": final}.items():
        if settings.batch_norm.sync:
            raise ConfigError(
                f"{section}.batch_norm.sync: true needs GPUs (train.gpus_per_worker is 0); set it "
                "to false"
            )
    if train.backend == "nccl":
        raise ConfigError(
            "train.backend: 'nccl' needs GPUs (train.gpus_per_worker is 0); set it to 'gloo'"
        )


def _check_kept(config: RunConfig, train: TrainConfig, section: str) -> None:
    """Refuse passes over the last states of a training that keeps an earlier one."""
    passes = config.strategy.passes
    if train.keep == "best" and section == "train" and passes.num_snapshots:
        raise ConfigError(
            f"{section}.keep: 'best' may keep weights from before the snapshots that "
            f"strategy.passes.kind={passes.kind} compares them with; set it to last, or choose "
            "other passes"
        )


def _check_features(config: RunConfig, train: TrainConfig, section: str) -> None:
    """Refuse settings that a network with a frozen backbone cannot follow, as it sees no images."""
    if train.augment.scale is not None:
        raise ConfigError(
            f"{section}.augment.scale: {list(train.augment.scale)} changes images, but a frozen "
            "backbone (model.frozen) is trained on features of fixed views; leave it out, and set "
            "features.views"
        )
    paired = {"mirror_loss": train.mirror_loss, "consistency": train.consistency}
    for key, value in paired.items():
        if value and train.semi is not None:
            raise ConfigError(
                f"{section}.semi: {train.semi.kind!r} learns from drawn views, but "
                f"{section}.{key}={value} learns from pairs of fixed views; keep one of them"
            )
    mirrored = ViewDraw(size=config.data.image_size, mirror=True)
    if any(view.draw("", mirrored.size) == mirrored for view in config.features.views):
        return
    for key, value in {**paired, "mirror_test": train.mirror_test}.items():
        if value:
            raise ConfigError(
                f"{section}.{key}: {value} needs the mirrored image, which features.views lacks; "
                "add {kind: mirror} to features.views"
            )
