"""Change settings of a run that has begun: those that leave what it chose and will choose comparable."""

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
from ray_al.driver.budget import check_final_budgets
from ray_al.driver.context import check_validation
from ray_al.driver.lease import Lease
from ray_al.driver.pool import read_table
from ray_al.driver.track import check_tracking
from ray_al.ledger import Event, Journal, State, fold
from ray_al.ledger.config import (
    MISSING,
    config_facts,
    differences,
    is_left_behind,
    read_config,
    recorded,
)
from ray_al.train.class_weights import check_class_weights
from ray_al.train.schedule import check_train

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
    "score.workers",
    "score.threads",
    "score.gpus_per_worker",
    "score.max_quarantined",
    "final",
    "tracking",
    "cluster",
)
"""Where a run computes and reads, what it puts up with, and what comes after it; sections stand for all of their keys.

The annotator names its own beside these (`Annotator.changeable`)."""


def change_settings(run_uri: str, overrides: Sequence[str]) -> None:
    """Record other settings for a run, and write them into its `config.yaml`; paths are relative to the working directory.

    The event comes first: a session that ends before the file is replaced has changed the settings, and the next one replaces the file.

    Raises:
        ConfigError: a setting that cannot change, or a value that cannot work; nothing was written.
        RunHeldError: a living driver holds the run.
    """
    storage = Storage(run_uri)
    changed_config(storage, Journal(storage).events, overrides)
    lease = Lease(storage).acquire()
    try:
        journal = Journal(storage)
        before, after = (
            read_config(storage, journal.events),
            changed_config(storage, journal.events, overrides),
        )
        changes = {
            key: [None if one is MISSING else one for one in values]
            for key, *values in _changes(before, after)
        }
        if changes:
            journal.append("config_changed", {**config_facts(after.to_yaml()), "changes": changes})
        settle_config(storage, journal.events)
    finally:
        lease.release()


def settle_config(storage: Storage, events: Sequence[Event]) -> None:
    """Write the `config.yaml` that a session recorded and did not come to write."""
    records = recorded(events)
    text = records[-1].config_yaml
    if text is not None and is_left_behind(storage, records):
        storage.replace(RunDir.CONFIG, text.encode())


def changed_config(
    storage: Storage, events: Sequence[Event], overrides: Sequence[str]
) -> RunConfig:
    """The run's configuration with `overrides`, checked.

    Raises:
        ConfigError: naming the key, why it cannot change or what is wrong with its value.
    """
    before = read_config(storage, events)
    values = before.model_dump(mode="json")
    for override in overrides:
        keys, value = parse_override(override)
        apply_setting(values, ".".join(keys), value, folder=os.getcwd())
    after = parse_config(values, source=storage.uri(RunDir.CONFIG))
    changed = [key for key, _, _ in _changes(before, after)]
    for key in changed:
        _check_key(key, before, after)
    check_train(after)
    check_tracking(after)
    if after.model.is_frozen and any(key.startswith("features.store") for key in changed):
        after.features.store.check()
    state = fold(events)
    _check_final(after, state)
    if "model.weights" in changed:
        _check_weights(after, state)
    if "data.root" in changed:
        _check_moved_data(storage, after, state)
    return after


def _changes(before: RunConfig, after: RunConfig) -> Iterator[tuple[str, object, object]]:
    return differences(before.model_dump(mode="json"), after.model_dump(mode="json"))


def _check_key(key: str, before: RunConfig, after: RunConfig) -> None:
    changeable = (
        *CHANGEABLE,
        *(f"label.annotator.{one}" for one in before.label.annotator.changeable),
    )
    if not any(key == one or key.startswith(f"{one}.") for one in changeable):
        raise ConfigError(
            f"--set {key}: cannot change in a run that has begun, as its cycles would not be comparable with each other; start a new run with it. "
            f"What may change: {', '.join(changeable)}"
        )
    if key == "model.weights" and {before.model.weights, after.model.weights} & set(WEIGHTS):
        raise ConfigError(
            f"--set {key}={after.model.weights}: the run began with {before.model.weights!r}; a file's place may change, not what is in it"
        )


def _check_final(config: RunConfig, state: State) -> None:
    """What `final` names can be trained, and is a part of the run's budget."""
    num_classes = len(state.created.class_names)
    check_class_weights(
        config.with_recipe(config.final.recipe).train, num_classes, key="final.train"
    )
    if state.amount:  # else it is known once the regions are
        check_final_budgets(config, state.created.sizes, state.amount)


def _check_weights(config: RunConfig, state: State) -> None:
    """The file is there, and where the run recorded its digest, is the same."""
    uri, known = config.model.weights, state.created.weights_sha256
    digest = read_digest(uri, key="--set model.weights")
    if known is not None and digest != known:
        raise ConfigError(
            f"--set model.weights={uri}: not what is in the file that the run began with; give the place to which that was moved"
        )


def _check_moved_data(storage: Storage, config: RunConfig, state: State) -> None:
    """The same images, of the same sizes, are at the new place, and the validation set can be used."""
    dataset, place = open_dataset(config.data), f"--set data.root={config.data.root}"
    names, known = list(dataset.class_names), list(state.created.class_names)
    if names != known:
        raise ConfigError(
            f"{place}: its classes are {names}, the run's {known}; give the run's own data"
        )
    check_start(dataset)
    check_validation(dataset, state, config)
    pool = read_table(
        storage,
        state.created.manifest,
        ["image_id", "mask_uri", "height", "width"],
    ).to_pylist()
    _check_moved_pool(
        place,
        {row["image_id"]: row for row in pool if row["image_id"] not in state.quarantined},
        dataset,
        config,
    )


def _check_moved_pool(
    place: str, known: Mapping[str, Mapping[str, Any]], dataset: Dataset, config: RunConfig
) -> None:
    """`known` are rows of the manifest, by the names of their images."""
    files = {image.image_id: image for image in dataset.splits["train"]}
    missing = [image_id for image_id in known if image_id not in files]
    if missing:
        raise ConfigError(
            f"{place}: {len(missing)} of {len(known)} pool images are not there, such as {missing[0]!r}; give the place of all"
        )
    bare = [
        image_id
        for image_id, row in known.items()
        if row["mask_uri"] is not None and files[image_id].mask_uri is None
    ]
    if bare and config.label.annotator.reads_masks:
        raise ConfigError(
            f"{place}: {len(bare)} pool masks are not there, such as that of {bare[0]!r}; give the place of all"
        )
    there, broken = build_manifest([files[image_id] for image_id in known], lambda height, width: 0)
    if broken:
        raise ConfigError(
            f"{place}: {len(broken)} of {len(known)} pool images cannot be read: {broken[0][1]}"
        )
    for row in there.select(["image_id", "height", "width"]).to_pylist():
        size, before = (
            (row["height"], row["width"]),
            (known[row["image_id"]]["height"], known[row["image_id"]]["width"]),
        )
        if size != before:
            raise ConfigError(
                f"{place}: {row['image_id']} has {size[0]}x{size[1]} pixels, in the run {before[0]}x{before[1]}; give the run's own data"
            )
