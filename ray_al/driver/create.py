"""Create a run directory: all checks first, then the files, and the first event last."""

import datetime
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace

import pyarrow as pa

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.making import check_new, making
from ray_al.core.model import WEIGHTS
from ray_al.core.places import before_work
from ray_al.core.reading import read_digest
from ray_al.core.run_dir import RunDir
from ray_al.core.storage import Storage, join_uri
from ray_al.core.types import FileRef
from ray_al.datasets import Dataset
from ray_al.datasets.manifest import build_manifest, images_digest, relative_places
from ray_al.datasets.statistics import with_channels, with_statistics
from ray_al.datasets.tiles import Tiling
from ray_al.driver.budget import whole_budget
from ray_al.driver.checks import JOB_VARIABLE, CheckedPool, check_config, check_pool
from ray_al.driver.pool import table_bytes
from ray_al.driver.quarantine import NO_REGIONS
from ray_al.ledger import RUN, Journal
from ray_al.ledger.config import config_facts
from ray_al.ledger.records import (
    BrokenImage,
    ImagesQuarantined,
    RunCreated,
    UnlabelledImages,
)
from ray_al.scoring.calibrate import measure_batch_size
from ray_al.scoring.prepare import resolve_precision

GPU_BATCH_SIZE = 16
"""Value of `scoring.batch_size=auto` on a GPU."""
Prepare = Callable[[RunConfig], Callable[[], None]]
"""Begins something slow and returns a function that waits for its end."""


def default_run_uri(name: str) -> str:
    """Return a new place for a run below `$RAY_AL_RUNS`, or else below `./runs`.

    In a submitted job, whose working directory is thrown away, the default is `~/ray_al_runs`.
    The name ends in random letters because runs may start in the same second, as in a loop over
    seeds or on several machines.
    """
    in_job = JOB_VARIABLE in os.environ
    root = os.environ.get("RAY_AL_RUNS") or (
        os.path.expanduser("~/ray_al_runs") if in_job else "runs"
    )
    root = root if "://" in root else os.path.abspath(os.path.expanduser(root))
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
    return join_uri(root, f"{name}-{stamp}-{secrets.token_hex(3)}")


@before_work()
def create_run(
    config: RunConfig, out: str, *, prepare: Prepare = lambda config: lambda: None
) -> str:
    """Check everything, then write a new run directory and return its root.

    Args:
        prepare: called once the configuration is right, to begin what takes a while, such as
            connecting to a cluster. The function that it returns is called before anything is
            written, and may refuse the run.

    Raises:
        ConfigError: something cannot work, or `out` exists; nothing was written.
    """
    storage = Storage(out)
    check_new(storage, out, RUN)
    storage.probe()
    config = with_channels(config)
    dataset = check_config(config)
    ready = prepare(config)
    pool = check_pool(config, dataset)
    config = with_statistics(config, dataset)
    ready()  # before speeds are measured, which other work would disturb
    config = _resolve(config, dataset.num_classes, len(pool.manifest))
    config_yaml = config.to_yaml()
    manifest_bytes = table_bytes(relative_places(pool.manifest, dataset.root))
    created = _created(config, config_yaml, manifest_bytes, dataset, pool)
    files = {RunDir.CONFIG: config_yaml.encode(), RunDir.MANIFEST: manifest_bytes}
    if config.data.val_share is not None:
        names = pa.table({"image_id": [image.image_id for image in dataset.splits["val"]]})
        files[RunDir.VALIDATION] = table_bytes(names)
        drawn = FileRef.of(RunDir.VALIDATION, files[RunDir.VALIDATION])
        created = replace(created, validation=drawn)
    if dataset.unlabelled:
        name = RunDir.UNLABELLED_VALIDATION
        unlabelled = _unlabelled_images(config, dataset)
        files[name] = table_bytes(relative_places(unlabelled, dataset.root))
        listed = FileRef.of(name, files[name])
        asked = UnlabelledImages(manifest=listed, num_images=len(unlabelled))
        created = replace(created, unlabelled_validation=asked)
    journal = begin_run(storage, out, files, created)
    if pool.broken:
        images = tuple(
            BrokenImage(image_id=image_id, error=error + NO_REGIONS)
            for image_id, error in pool.broken.items()
        )
        journal.append(ImagesQuarantined(images=images))
    return storage.root


def _unlabelled_images(config: RunConfig, dataset: Dataset) -> pa.Table:
    """Return the validation images that people label, or their tiles, MANIFEST_SCHEMA.

    Raises:
        ConfigError: one of them cannot be read.
    """
    images = [image for image in dataset.splits["val"] if image.image_id in dataset.unlabelled]
    table, errors = build_manifest(
        images, lambda height, width: 1, dataset.pixels, tiling=Tiling.of(config.data)
    )
    if errors:
        raise ConfigError(f"validation image {errors[0][0]}: {errors[0][1]}")
    return table


def _created(
    config: RunConfig,
    config_yaml: str,
    manifest_bytes: bytes,
    dataset: Dataset,
    pool: CheckedPool,
) -> RunCreated:
    """Return the first record of a run."""
    budget, sizes = config.budget, pool.sizes
    # Superpixels are counted only once they are computed; until then a share of them is unknown.
    is_unknown = config.regions.needs_maps and budget.unit.of_pool(sizes) == 0
    return RunCreated(
        name=config.name,
        manifest=FileRef.of(RunDir.MANIFEST, manifest_bytes),
        **config_facts(config_yaml),
        weights_sha256=_weights_digest(config),
        val_digest=dataset.digest("val"),
        images=images_digest(pool.manifest),
        **asdict(sizes),
        unit=budget.unit.kind,
        amount=0 if is_unknown else whole_budget(budget, sizes),
        class_names=tuple(dataset.class_names),
        colors=tuple((red, green, blue) for red, green, blue in dataset.colors),
        has_validation=config.data.has_validation,
    )


def _weights_digest(config: RunConfig) -> str | None:
    """Return the digest of a file of weights; the file may move later, but must not change."""
    if config.model.weights in WEIGHTS:
        return None
    return read_digest(config.model.weights, key="model.weights")


def begin_run(
    storage: Storage, out: str, files: Mapping[str, bytes], created: RunCreated
) -> Journal:
    """Write `files` and the first event into a new directory.

    Of several processes that try this at the same place, exactly one succeeds.

    Args:
        created: the first record.

    Raises:
        ConfigError: another process was first; nothing of its run was touched.
    """
    with making(storage, out, RUN):
        for name, data in files.items():
            storage.create(name, data)
        journal = Journal(storage)
        journal.append(created)
    return journal


def _resolve(config: RunConfig, num_classes: int, num_images: int) -> RunConfig:
    """Replace every `auto` by its value, so a resumed run or another machine does the same."""
    precision = config.scoring.precision
    if precision == "auto":
        precision = "bf16" if _scores_on_gpu(config) else resolve_precision("auto")
    resolved = {"precision": precision, "shard_size": config.shard_size(num_images)}
    config = _with_score(config, **resolved)
    # The batch size is measured at the precision found above.
    config = _with_score(config, batch_size=resolve_batch_size(config, num_classes))
    return RunConfig.model_validate(config.model_dump(mode="json"))


def _with_score(config: RunConfig, **settings: object) -> RunConfig:
    return config.model_copy(update={"scoring": config.scoring.model_copy(update=settings)})


def _scores_on_gpu(config: RunConfig) -> bool:
    return config.scoring.gpus_per_worker > 0


def resolve_batch_size(config: RunConfig, num_classes: int) -> int:
    """Return `scoring.batch_size`; `auto` is measured here, for the strategy and the precision."""
    if config.scoring.batch_size != "auto":
        return config.scoring.batch_size
    if _scores_on_gpu(config):
        return GPU_BATCH_SIZE
    return measure_batch_size(config, num_classes)
