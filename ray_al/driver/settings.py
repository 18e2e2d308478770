"""Change settings of a run that has begun, as long as its cycles stay comparable."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ray_al.core.config import RunConfig, apply_setting, parse_config, parse_override
from ray_al.core.errors import ConfigError
from ray_al.core.model import WEIGHTS
from ray_al.core.reading import read_digest
from ray_al.core.run_dir import RunDir
from ray_al.core.storage import Storage
from ray_al.datasets import Dataset, check_start, open_dataset
from ray_al.datasets.manifest import build_manifest
from ray_al.datasets.tiles import Tiling, image_of
from ray_al.driver.budget import check_final_budgets
from ray_al.driver.checks import SETTINGS_CHECKS
from ray_al.driver.context import check_validation
from ray_al.driver.lease import Lease
from ray_al.driver.pool import read_table
from ray_al.driver.validation_labels import check_sizes
from ray_al.ledger import Event, Journal, State, fold
from ray_al.ledger.config import (
    MISSING,
    config_facts,
    differences,
    is_left_behind,
    read_config,
    recorded,
)
from ray_al.ledger.records import ConfigChanged
from ray_al.train.class_weights import check_class_weights

CHANGEABLE = (
    "data.root",
    "data.cache_gb",
    "model.weights",
    "features.store",
    "train.workers",
    "train.threads",
    "train.gpus_per_worker",
    "train.backend",
    "train.keep_workers",
    "train.max_failures",
    "train.checkpoint_interval_s",
    "scoring.workers",
    "scoring.threads",
    "scoring.gpus_per_worker",
    "scoring.max_quarantined",
    "final",
    "tracking",
    "cluster",
)
"""Settings of the places, the tolerance for faults, and the end of a run.

A section includes all of its keys. Annotators add keys of their own (`Annotator.changeable`)."""


def change_settings(run_uri: str, overrides: Sequence[str]) -> None:
    """Record other settings for a run, and write them into its `config.yaml`.

    The event is written first. If a session ends before it replaces the file, the settings have
    changed nevertheless, and the next session replaces the file.

    Args:
        overrides: `KEY=VALUE` each; paths are relative to the working directory.

    Raises:
        ConfigError: a setting that cannot change, or a value that cannot work; nothing was written.
        RunHeldError: a living driver holds the run.
    """
    storage = Storage(run_uri)
    changed_config(storage, Journal(storage).events, overrides)
    lease = Lease(storage).acquire()
    try:
        journal = Journal(storage)
        before = read_config(storage, journal.events)
        after = changed_config(storage, journal.events, overrides)
        changes = {
            key: [recorded_value(old), recorded_value(new)]
            for key, old, new in changes_between(before, after)
        }
        if changes:
            journal.append(ConfigChanged(**config_facts(after.to_yaml()), changes=changes))
        settle_config(storage, journal.events)
    finally:
        lease.release()


def recorded_value(value: object) -> object:
    """Return a value of `changes_between` as events hold it."""
    return None if value is MISSING else value


def settle_config(storage: Storage, events: Sequence[Event]) -> None:
    """Write the `config.yaml` that an earlier session recorded but did not write."""
    records = recorded(events)
    text = records[-1].config_yaml
    if text is not None and is_left_behind(storage, records):
        storage.replace(RunDir.CONFIG, text.encode())


def changed_config(
    storage: Storage, events: Sequence[Event], overrides: Sequence[str]
) -> RunConfig:
    """Return the run's configuration with `overrides`, and check it.

    Raises:
        ConfigError: naming the key, why it cannot change or what is wrong with its value.
    """
    before = read_config(storage, events)
    values = before.model_dump(mode="json")
    for override in overrides:
        keys, value = parse_override(override)
        apply_setting(values, ".".join(keys), value, folder=os.getcwd())
    after = parse_config(values, source=storage.uri(RunDir.CONFIG))
    changed = [key for key, _, _ in changes_between(before, after)]
    for key in changed:
        check_key(key, before, after)
    for check in SETTINGS_CHECKS:
        check(after)
    if after.model.is_frozen and any(key.startswith("features.store") for key in changed):
        after.features.store.check()
    state = fold(events)
    _check_final(after, state)
    if "model.weights" in changed:
        check_weights(after, state)
    if "data.root" in changed:
        _check_moved_data(storage, after, state)
    return after


def changes_between(before: RunConfig, after: RunConfig) -> Iterator[tuple[str, object, object]]:
    """Yield the dotted key, the value before and the value after of each changed setting."""
    return differences(before.model_dump(mode="json"), after.model_dump(mode="json"))


def check_key(key: str, before: RunConfig, after: RunConfig, *, also: Sequence[str] = ()) -> None:
    """Refuse a key that cannot change, and weights that are another file's.

    Args:
        also: further keys that may change.

    Raises:
        ConfigError: naming the key, why it cannot change, and what may.
    """
    own = (f"label.annotator.{name}" for name in before.label.annotator.changeable)
    changeable = (*CHANGEABLE, *own, *also)
    if not any(key == allowed or key.startswith(f"{allowed}.") for allowed in changeable):
        raise ConfigError(
            f"--set {key}: cannot change in a run that has begun, as its cycles would not be "
            "comparable with each other; start a new run with it (images, classes and the budget "
            "change with `ray-al extend`). "
            f"What may change: {', '.join(changeable)}"
        )
    if key == "model.weights" and {before.model.weights, after.model.weights} & set(WEIGHTS):
        raise ConfigError(
            f"--set {key}={after.model.weights}: the run began with {before.model.weights!r}; "
            "the place of a file may change, not its content"
        )


def _check_final(config: RunConfig, state: State) -> None:
    """Refuse a final training that cannot work, or budgets beyond the run's own."""
    num_classes = len(state.created.class_names)
    check_class_weights(
        config.with_recipe(config.final.recipe).train, num_classes, key="final.train"
    )
    if state.amount:  # unknown until the regions are computed
        check_final_budgets(config, state.created.sizes, state.amount)


def check_weights(config: RunConfig, state: State) -> None:
    """Refuse a file of weights that is missing, or differs from the one that the run recorded."""
    uri, known = config.model.weights, state.created.weights_sha256
    digest = read_digest(uri, key="--set model.weights")
    if known is not None and digest != known:
        raise ConfigError(
            f"--set model.weights={uri}: not what is in the file that the run began with; "
            "give the place to which that was moved"
        )


def _check_moved_data(storage: Storage, config: RunConfig, state: State) -> None:
    """Refuse a new place that does not have the same images, or no usable validation set."""
    dataset, place = open_dataset(config.data, storage), f"--set data.root={config.data.root}"
    names, known = list(dataset.class_names), list(state.created.class_names)
    if names != known:
        raise ConfigError(
            f"{place}: its classes are {names}, the run's {known}; give the run's own data"
        )
    check_start(dataset)
    check_validation(dataset, state, config)
    check_sizes(storage, state, dataset, config, place)
    pool = read_table(
        storage,
        state.created.manifest,
        ["image_id", "uri", "mask_uri", "height", "width"],
    ).to_pylist()
    out = state.quarantined.keys() | state.removed
    known_rows = {row["image_id"]: row for row in pool if row["image_id"] not in out}
    _check_moved_pool(place, known_rows, dataset, config)


def _check_moved_pool(
    place: str, known: Mapping[str, Mapping[str, Any]], dataset: Dataset, config: RunConfig
) -> None:
    """Refuse a place at which pool images or masks are missing or differ in size.

    Args:
        known: rows of the manifest, by image_id.
    """
    files = {image.image_id: image for image in dataset.splits["train"]}
    names = {image_id: image_of(image_id, row["uri"]) for image_id, row in known.items()}
    missing = [name for name in dict.fromkeys(names.values()) if name not in files]
    if missing:
        raise ConfigError(
            f"{place}: {len(missing)} of {len(set(names.values()))} pool images are not there, "
            f"such as {missing[0]!r}; give the place of all, or let `ray-al extend` take those out "
            "that are gone for good"
        )
    bare = [
        image_id
        for image_id, row in known.items()
        if row["mask_uri"] is not None and files[names[image_id]].mask_uri is None
    ]
    if bare and config.label.annotator.reads_masks:
        raise ConfigError(
            f"{place}: {len(bare)} pool masks are not there, such as that of {bare[0]!r}; "
            "give the place of all"
        )
    there, broken = build_manifest(
        [files[name] for name in dict.fromkeys(names.values())],
        lambda height, width: 0,
        dataset.pixels,
        tiling=Tiling.of(config.data),
    )
    if broken:
        raise ConfigError(
            f"{place}: {len(broken)} of {len(known)} pool images cannot be read: {broken[0][1]}"
        )
    for row in there.select(["image_id", "height", "width"]).to_pylist():
        if row["image_id"] not in known:
            continue  # a tile that cannot be used
        size, before = _size(row), _size(known[row["image_id"]])
        if size != before:
            raise ConfigError(
                f"{place}: {row['image_id']} has {size} pixels, in the run {before}; "
                "give the run's own data"
            )


def _size(row: Mapping[str, Any]) -> str:
    return f"{row['height']}x{row['width']}"
