"""Create a run directory: every check that needs no cluster first, then the files, the first event last."""

import datetime
import hashlib
import os
from collections.abc import Callable

import pyarrow as pa
import yaml

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.storage import Storage, join_uri
from ray_al.core.types import FileRef
from ray_al.datasets import Dataset, check_start, open_dataset
from ray_al.datasets.manifest import build_manifest
from ray_al.driver.budget import check_budget, total_amount
from ray_al.driver.check_strategy import check_strategy
from ray_al.driver.context import check_quarantine
from ray_al.driver.loop import CONFIG
from ray_al.driver.pool import MANIFEST, table_bytes
from ray_al.driver.track import check_tracking
from ray_al.ledger import Journal
from ray_al.models import check_model
from ray_al.regions import open_regions
from ray_al.score.calibrate import measure_batch_size
from ray_al.score.prepare import resolve_precision
from ray_al.train.schedule import check_class_weights, check_train

JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"
GPU_BATCH_SIZE = 16
Prepare = Callable[[RunConfig], Callable[[], None]]


def default_run_uri(name: str) -> str:
    """`$RAY_AL_RUNS`, else `./runs`, or `~/ray_al_runs` in a submitted job, whose working directory is thrown away."""
    in_job = JOB_VARIABLE in os.environ
    root = os.environ.get("RAY_AL_RUNS") or (os.path.expanduser("~/ray_al_runs") if in_job else "runs")
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
    return join_uri(root if "://" in root else os.path.abspath(root), f"{name}-{stamp}")


def check_places(config: RunConfig, out: str) -> None:
    """Refuse places below a submitted job's working directory: they vanish with it."""
    if JOB_VARIABLE not in os.environ:
        return
    for key, path in (("--out (or RAY_AL_RUNS)", out), ("data.root", config.data.root)):
        if path and "://" not in path and os.path.abspath(path).startswith(os.getcwd()):
            raise ConfigError(f"{key}: {path!r} lies in the job's working directory, a copy that is thrown away; give an absolute path or a URI")


def check_config(config: RunConfig) -> Dataset:
    """All checks of a run that need neither a cluster nor a written file.

    Raises:
        ConfigError: naming the key or file, the value seen and the remedy.
    """
    check_train(config)
    check_tracking(config)
    dataset = open_dataset(config.data)
    check_start(dataset)
    check_model(config.model, dataset.num_classes)
    check_class_weights(config.train, dataset.num_classes)
    masks = [image.mask_uri for image in dataset.splits["train"]]
    if config.label.annotator == "simulated" and None in masks:
        num_missing = masks.count(None)
        raise ConfigError(
            f"label.annotator: 'simulated' needs a mask for every pool image, {num_missing} of {len(masks)} have none; "
            "set label.annotator=files to have people label"
        )
    if config.strategy.skip_void_by_ground_truth and None in masks:
        raise ConfigError("strategy.skip_void_by_ground_truth: it reads ground truth that this pool does not have; set it to false")
    check_strategy(config, dataset.num_classes)
    return dataset


def create_run(config: RunConfig, out: str, *, prepare: Prepare = lambda config: lambda: None) -> str:
    """Check everything, then write a new run directory and return its root.

    Args:
        prepare: called once the configuration is right, to begin what takes a while (connecting to a cluster); what it returns is called before
            anything is written, and may refuse.

    Raises:
        ConfigError: something cannot work, or `out` exists; nothing was written.
    """
    storage = Storage(out)
    if storage.exists():
        begun = storage.exists(Journal.FIRST)
        remedy = f"go on with `ray-al resume {out}`" if begun else "delete it, if it is the rest of a run that was ended while it was made"
        raise ConfigError(f"--out {out}: exists already; give a new directory, or {remedy}")
    dataset = check_config(config)
    ready = prepare(config)
    manifest, broken, sizes = check_pool(config, dataset)
    kind = open_regions(config.regions)
    # How many regions there are, and what a share of them is, superpixels tell once they are computed.
    unknown = kind.needs_maps and config.budget.unit == "regions"
    amount = 0 if unknown else total_amount(config.budget, sizes)
    ready()  # before speeds are measured, which other work would disturb
    config = _resolve(config, dataset.num_classes, len(manifest))
    config_bytes, manifest_bytes = config.to_yaml().encode(), table_bytes(manifest)
    storage.replace(CONFIG, config_bytes)
    storage.replace(MANIFEST, manifest_bytes)
    journal = Journal(storage)
    created = {
        "name": config.name,
        "manifest": FileRef.of(MANIFEST, manifest_bytes).as_dict(),
        "config": FileRef.of(CONFIG, config_bytes).as_dict(),
        "pool": pool_digest(manifest),
        **sizes,
        "unit": config.budget.unit,
        "amount": amount,
        "class_names": list(dataset.class_names),
        "colors": [list(color) for color in dataset.colors],
    }
    journal.append("run_created", created)
    if broken:
        journal.append("images_quarantined", {"images": [{"image_id": image_id, "error": error} for image_id, error in broken.items()]})
    return storage.root


def check_pool(config: RunConfig, dataset: Dataset) -> tuple[pa.Table, dict[str, str], dict[str, int]]:
    """The manifest, what is wrong with images that cannot be used, and how many images, regions and pixels there are.

    Raises:
        ConfigError: the budget does not fit the pool.
        RayALError: more images are broken than `score.max_quarantined` allows.
    """
    kind = open_regions(config.regions)
    manifest, unreadable = build_manifest(dataset.splits["train"], (lambda height, width: 0) if kind.needs_maps else kind.num_regions)
    broken = dict(unreadable)
    if not kind.needs_maps:
        for row in manifest.select(["image_id", "height", "width", "num_regions"]).to_pylist():
            if row["num_regions"] == 0 and row["image_id"] not in broken:
                broken[row["image_id"]] = f"{row['height']}x{row['width']} pixels are fewer than the grid's cells"
    check_quarantine(broken, config, len(manifest))
    sizes = {
        "num_images": len(manifest),
        "num_regions": sum(manifest.column("num_regions").to_pylist()),
        "num_pixels": sum(h * w for h, w in zip(manifest.column("height").to_pylist(), manifest.column("width").to_pylist(), strict=True)),
    }
    check_budget(config, sizes, manifest, dataset.num_classes)
    return manifest, broken, sizes


def pool_digest(manifest: pa.Table) -> str:
    """Names the pool by its images and their sizes; the manifest's own digest changes with the writer of its file."""
    digest = hashlib.sha256()
    for batch in manifest.select(["image_id", "height", "width", "num_regions"]).to_batches():
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
    if config.score.batch_size == "auto":
        batch_size = GPU_BATCH_SIZE if on_gpu else measure_batch_size(config, num_classes)
        config = config.model_copy(update={"score": config.score.model_copy(update={"batch_size": batch_size})})
    return RunConfig.model_validate(yaml.safe_load(config.to_yaml()))
