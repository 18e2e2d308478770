"""Create a run directory: every check that needs no cluster first, then the files, the first event last."""

import datetime
import hashlib
import os
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.making import check_new, making
from ray_al.core.model import WEIGHTS
from ray_al.core.places import before_work
from ray_al.core.reading import read_digest
from ray_al.core.run_dir import RunDir
from ray_al.core.shares import exact
from ray_al.core.storage import Storage, check_writable, join_uri
from ray_al.core.types import FileRef
from ray_al.datasets import Dataset, check_start, open_dataset
from ray_al.datasets.manifest import build_manifest, relative_places
from ray_al.driver.budget import check_budget, total_amount
from ray_al.driver.check_strategy import check_strategy
from ray_al.driver.context import check_quarantine
from ray_al.driver.pool import table_bytes
from ray_al.driver.quarantine import NO_REGIONS
from ray_al.driver.track import check_tracking
from ray_al.ledger import RUN, Journal
from ray_al.ledger.config import config_facts
from ray_al.models import check_model
from ray_al.score.calibrate import measure_batch_size
from ray_al.score.prepare import resolve_precision
from ray_al.train.class_weights import check_class_weights
from ray_al.train.schedule import check_train

JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"
GPU_BATCH_SIZE = 16
Prepare = Callable[[RunConfig], Callable[[], None]]


def default_run_uri(name: str) -> str:
    """A new name below `$RAY_AL_RUNS`, else `./runs`, or `~/ray_al_runs` in a submitted job, whose working directory is thrown away.

    The name ends in random letters: runs are started in the same second, as by a loop over seeds, and on several machines.
    """
    in_job = JOB_VARIABLE in os.environ
    root = os.environ.get("RAY_AL_RUNS") or (
        os.path.expanduser("~/ray_al_runs") if in_job else "runs"
    )
    root = root if "://" in root else os.path.abspath(os.path.expanduser(root))
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
    return join_uri(root, f"{name}-{stamp}-{secrets.token_hex(3)}")


def check_places(config: RunConfig, out: str) -> None:
    """Refuse places that cannot be written, and those below a submitted job's working directory: they vanish with it.

    Raises:
        ConfigError: naming the place.
    """
    check_writable(out, key="--out (or RAY_AL_RUNS)")
    if JOB_VARIABLE not in os.environ:
        return
    for key, path in (("--out (or RAY_AL_RUNS)", out), ("data.root", config.data.root)):
        if (
            path
            and "://" not in path
            and os.path.commonpath([os.path.abspath(path), os.getcwd()]) == os.getcwd()
        ):
            raise ConfigError(
                f"{key}: {path!r} lies in the job's working directory, a copy that is thrown away; give an absolute path or a URI"
            )


def check_config(config: RunConfig) -> Dataset:
    """All checks of a run that need neither a cluster nor a written file.

    Raises:
        ConfigError: naming the key or file, the value seen and the remedy.
    """
    check_train(config)
    check_tracking(config)
    dataset = open_dataset(config.data)
    for size in dict.fromkeys(
        (config.data.image_size, config.final.image_size or config.data.image_size)
    ):
        check_model(config.model, dataset.num_classes, size)
    if config.model.is_frozen:
        config.features.store.check()
    check_class_weights(config.train, dataset.num_classes)
    check_class_weights(
        config.with_recipe(config.final.recipe).train, dataset.num_classes, key="final.train"
    )
    masks = [image.mask_uri for image in dataset.splits["train"]]
    if config.label.annotator.reads_masks and None in masks:
        num_missing = masks.count(None)
        raise ConfigError(
            f"label.annotator: {config.label.annotator.kind!r} needs a mask for every pool image, {num_missing} of {len(masks)} have none; "
            "set label.annotator=files to have people label"
        )
    if config.strategy.skip_void_by_ground_truth and None in masks:
        raise ConfigError(
            "strategy.skip_void_by_ground_truth: it reads ground truth that this pool does not have; set it to false"
        )
    check_strategy(config, dataset.num_classes)
    return dataset


@before_work()
def create_run(
    config: RunConfig, out: str, *, prepare: Prepare = lambda config: lambda: None
) -> str:
    """Check everything, then write a new run directory and return its root.

    Args:
        prepare: called once the configuration is right, to begin what takes a while (connecting to a cluster); what it returns is called before
            anything is written, and may refuse.

    Raises:
        ConfigError: something cannot work, or `out` exists; nothing was written.
    """
    storage = Storage(out)
    check_new(storage, out, RUN)
    storage.probe()
    dataset = check_config(config)
    ready = prepare(config)
    manifest, broken, sizes = check_pool(config, dataset)
    # How many regions there are, and what a share of them is, superpixels tell once they are computed.
    unknown = config.regions.needs_maps and config.budget.unit.of_pool(sizes) == 0
    amount = 0 if unknown else total_amount(config.budget, sizes)
    ready()  # before speeds are measured, which other work would disturb
    config = _resolve(config, dataset.num_classes, len(manifest))
    config_yaml, manifest_bytes = (
        config.to_yaml(),
        table_bytes(relative_places(manifest, dataset.root)),
    )
    created = {
        "name": config.name,
        "manifest": FileRef.of(RunDir.MANIFEST, manifest_bytes).as_dict(),
        **config_facts(config_yaml),
        **_weights_facts(config),
        "val_digest": dataset.digest("val"),
        "images": images_digest(manifest),
        **sizes,
        "unit": config.budget.unit.kind,
        "amount": amount,
        "class_names": list(dataset.class_names),
        "colors": [list(color) for color in dataset.colors],
    }
    journal = begin_run(
        storage,
        out,
        {RunDir.CONFIG: config_yaml.encode(), RunDir.MANIFEST: manifest_bytes},
        created,
    )
    if broken:
        journal.append(
            "images_quarantined",
            {
                "images": [
                    {"image_id": image_id, "error": error + NO_REGIONS}
                    for image_id, error in broken.items()
                ]
            },
        )
    return storage.root


def _weights_facts(config: RunConfig) -> dict[str, str]:
    """The digest of a file of weights, which may move later, and must then be the same."""
    return (
        {}
        if config.model.weights in WEIGHTS
        else {"weights_sha256": read_digest(config.model.weights, key="model.weights")}
    )


def begin_run(
    storage: Storage, out: str, files: Mapping[str, bytes], created: Mapping[str, Any]
) -> Journal:
    """Write `files` and the first event, whose data is `created`, into a new directory: of several processes one alone does.

    Raises:
        ConfigError: another process was first; nothing of its run was touched.
    """
    with making(storage, out, RUN):
        for name, data in files.items():
            storage.create(name, data)
        journal = Journal(storage)
        journal.append("run_created", created)
    return journal


def check_pool(
    config: RunConfig, dataset: Dataset
) -> tuple[pa.Table, dict[str, str], dict[str, int]]:
    """The manifest, what is wrong with images that cannot be used, and how many images, regions and pixels there are.

    Raises:
        ConfigError: the data set is not as it must be, or the budget does not fit the pool.
        RayALError: more images are broken than `score.max_quarantined` allows.
    """
    check_start(
        dataset, pool_masks=config.label.annotator.reads_masks, test=bool(config.final.budgets)
    )
    regions = config.regions
    manifest, unreadable = build_manifest(dataset.splits["train"], regions.num_regions)
    broken = dict(unreadable)
    for row in manifest.select(["image_id", "height", "width"]).to_pylist():
        if row["image_id"] not in broken and (
            reason := regions.too_small(row["height"], row["width"])
        ):
            broken[row["image_id"]] = reason
    _check_sizes(
        config,
        {name: reason for name, reason in broken.items() if name not in dict(unreadable)},
        len(manifest),
    )
    check_quarantine(broken, config, len(manifest))
    sizes = {
        "num_images": len(manifest),
        "num_regions": sum(manifest.column("num_regions").to_pylist()),
        "num_pixels": sum(
            h * w
            for h, w in zip(
                manifest.column("height").to_pylist(),
                manifest.column("width").to_pylist(),
                strict=True,
            )
        ),
    }
    check_budget(config, sizes, manifest, dataset.num_classes)
    return manifest, broken, sizes


def _check_sizes(config: RunConfig, small: Mapping[str, str], num_images: int) -> None:
    """Refuse regions of which most images have none: the setting is wrong, not the images.

    Args:
        small: image_id -> why it has no region.
    """
    if len(small) > exact(config.score.max_quarantined) * num_images:
        name, reason = next(iter(small.items()))
        settings = " and ".join(
            f"regions.{key}={getattr(config.regions, key)}" for key in config.regions.size_keys
        )
        raise ConfigError(
            f"{settings}: {len(small)} of {num_images} pool images have no region then, more "
            f"than score.max_quarantined={config.score.max_quarantined} allows. {name}: {reason}"
        )


def images_digest(manifest: pa.Table) -> str:
    """Names a pool by its images and their sizes, however they are divided into regions; the manifest's own digest changes with the writer
    of its file."""
    digest = hashlib.sha256()
    for batch in manifest.select(["image_id", "height", "width"]).to_batches():
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            digest.update(repr(row).encode())
    return digest.hexdigest()


def _resolve(config: RunConfig, num_classes: int, num_images: int) -> RunConfig:
    """Write down what `auto` means, so that a resumed run and another machine do the same."""
    on_gpu = config.score.gpus_per_worker > 0
    precision = config.score.precision
    if precision == "auto":
        precision = "bf16" if on_gpu else resolve_precision("auto")
    resolved = {"precision": precision, "shard_size": config.shard_size(num_images)}
    config = config.model_copy(update={"score": config.score.model_copy(update=resolved)})
    config = config.model_copy(
        update={
            "score": config.score.model_copy(
                update={"batch_size": resolve_batch_size(config, num_classes)}
            )
        }
    )
    return RunConfig.model_validate(config.model_dump(mode="json"))


def resolve_batch_size(config: RunConfig, num_classes: int) -> int:
    """`score.batch_size`, or what `auto` is for the strategy and the resolved precision of `config`, measured here."""
    if config.score.batch_size != "auto":
        return config.score.batch_size
    return (
        GPU_BATCH_SIZE
        if config.score.gpus_per_worker > 0
        else measure_batch_size(config, num_classes)
    )
