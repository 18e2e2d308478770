"""Work out what extending a run would change, and check it; nothing is written here."""

import os
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from ray_al.acquisition import find_acquisition
from ray_al.core.config import (
    Amount,
    DataConfig,
    RunConfig,
    apply_setting,
    parse_config,
    parse_override,
    parse_yaml,
)
from ray_al.core.errors import ConfigError
from ray_al.core.run_dir import RunDir
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.datasets import Dataset, check_start, open_dataset
from ray_al.datasets.catalog import data_root
from ray_al.datasets.class_table import open_class_table
from ray_al.driver.budget import check_final_budgets, in_units
from ray_al.driver.checks import DATASET_CHECKS, SETTINGS_CHECKS, check_masks
from ray_al.driver.context import check_validation
from ray_al.driver.extend.classes import change_classes, check_meaning
from ray_al.driver.extend.images import PoolChange, find_changes, refused_regions
from ray_al.driver.extend.wanted import Wanted
from ray_al.driver.pool import table_bytes
from ray_al.driver.settings import (
    changes_between,
    check_key,
    check_weights,
    recorded_value,
)
from ray_al.driver.validation_labels import check_sizes
from ray_al.ledger import Event, State, fold
from ray_al.ledger.config import config_facts, read_config
from ray_al.ledger.records import RunExtended

ALSO = ("data.allow",)
"""Settings that may change with the images of a run, besides those that may always."""
WITH_CLASSES = ("train.class_weights",)
"""Settings that may change with the classes."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What extending a run changes.

    Attributes:
        state: of the run before.
        record: the event.
        manifest: bytes of the new manifest; None if no image is added.
        pool: the images that come and go.
        before: the configuration before.
    """

    state: State
    record: RunExtended
    manifest: bytes | None
    pool: PoolChange
    before: RunConfig

    @property
    def is_empty(self) -> bool:
        """Return whether nothing changes."""
        has_classes = self.record.added_classes or self.record.renamed_classes
        return not (self.record.changes or self.pool or has_classes)


def make_plan(storage: Storage, events: list[Event], wanted: Wanted) -> Plan:
    """Return what extending a run changes.

    Raises:
        ConfigError: something cannot change, or cannot work; the message names it.
        RayALError: too many new images cannot be used.
    """
    before, state = read_config(storage, events), fold(events)
    after = _changed_config(storage, before, state, wanted)
    dataset = _open(storage, before, after, state, wanted)
    moved = data_root(before.data) != data_root(after.data)
    pool = find_changes(storage, state, after, dataset, moved=moved)
    _check_state(state, before, pool, wanted)
    manifest = table_bytes(pool.manifest) if pool.num_added else None
    record = _record(storage, state, before, after, dataset, pool, wanted, manifest)
    _check_budget(after, state, record)
    if pool or wanted.changes_classes:
        checks = DATASET_CHECKS if wanted.added else (check_masks,)
        for check in checks:
            check(after, dataset)
        check_start(
            dataset,
            pool_masks=after.label.annotator.reads_masks,
            test=bool(after.final.budgets),
        )
    return Plan(state=state, record=record, manifest=manifest, pool=pool, before=before)


def _changed_config(storage: Storage, before: RunConfig, state: State, wanted: Wanted) -> RunConfig:
    """Return the configuration with all changes; settings and their values are checked."""
    source = storage.uri(RunDir.CONFIG)
    values = before.model_dump(mode="json")
    told = []
    for override in wanted.overrides:
        keys, value = parse_override(override)
        told.append(".".join(keys))
        apply_setting(values, told[-1], value, folder=os.getcwd())
    if wanted.budget is not None:
        values["budget"]["amount"] = _amount(before, state, wanted.budget)
    after = parse_config(values, source=source)
    also = (*ALSO, *(WITH_CLASSES if wanted.added else ()))
    changed = {key for key, _, _ in changes_between(before, after)}
    if "budget.amount" not in told:
        changed.discard("budget.amount")  # `--budget` may change it
    for key in sorted(changed):
        check_key(key, before, after, also=also)
    if wanted.changes_classes:
        created = state.created
        change_classes(values["data"], after.data, created.class_names, created.colors, wanted)
    after = parse_config(values, source=source)
    for check in SETTINGS_CHECKS:
        check(after)
    if after.model.is_frozen and any(key.startswith("features.store") for key in changed):
        after.features.store.check()
    if "model.weights" in changed:
        check_weights(after, state)
    return after


def _amount(config: RunConfig, state: State, text: str) -> int | float:
    """Return the value of `budget.amount` that `--budget` gives.

    Raises:
        ConfigError: it is no amount, or less than what is spent and reserved.
    """
    value = parse_yaml(f"amount: {text}", source="--budget")["amount"]
    try:
        amount: int | float = TypeAdapter(Amount).validate_python(value)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"--budget {text}: {message}") from None
    units = in_units(config.budget, state.created.sizes, amount, "--budget")
    taken, unit = state.spent + state.reserved, config.budget.unit.name
    if units < taken:
        raise ConfigError(
            f"--budget: {units} {unit} are less than the {state.spent} that are spent and the "
            f"{state.reserved} that are reserved for the open query; give at least {taken}"
        )
    return amount


def _open(
    storage: Storage, before: RunConfig, after: RunConfig, state: State, wanted: Wanted
) -> Dataset:
    """Open the data set, and check that its classes continue those of the run."""
    dataset = open_dataset(after.data, storage)
    earlier = [wanted.renamed.get(name, name) for name in state.created.class_names]
    expected, found = [*earlier, *wanted.added], list(dataset.class_names)
    if found != expected:
        raise ConfigError(
            f"data.root {dataset.root!r}: the classes of the data set would be {found}, and those "
            f"of the run are {expected}; add classes with --add-class, in the order in which the "
            "data set has them"
        )
    if wanted.changes_classes and not after.data.dataset.draws_masks:
        known = open_class_table(_at(before.data, dataset.root), dataset.root)
        check_meaning(known.decoder, dataset.decoder, len(earlier))
    check_validation(dataset, state, after)
    check_sizes(storage, state, dataset, after, f"data.root {dataset.root!r}")
    return dataset


def _at(data: DataConfig, root: str) -> DataConfig:
    return data.model_copy(update={"root": root})


def _check_state(state: State, config: RunConfig, pool: PoolChange, wanted: Wanted) -> None:
    """Refuse changes for which the run is in the middle of something that must end first."""
    if config.regions.needs_maps and state.maps is None:
        raise ConfigError(
            f"regions.kind={config.regions.kind}: the regions of the pool are not computed yet; "
            "let the run compute them first (`ray-al resume`), then extend it"
        )
    if wanted.added and state.validation is not None and state.validation.answered:
        raise ConfigError(
            f"--add-class {next(iter(wanted.added))}: people labelled {state.validation.answered} "
            "validation images without this class, so no model could be measured on it; begin a "
            "new run with the class (budget.start_rule=existing takes masks that exist)"
        )
    last = state.queries[-1].cycle if state.queries else None
    function = find_acquisition(config.strategy.acquisition)
    if (
        wanted.added
        and config.budget.unit.shows_late
        and function.attribution != "none"
        and last is not None
        and last in state.scored
        and last + 1 not in state.trained
    ):
        raise ConfigError(
            f"--add-class: cycle {last} may still choose by scores of the present classes "
            f"(strategy.acquisition={config.strategy.acquisition}); let its labels come in and its "
            "model be trained first (`ray-al resume`), then add the class"
        )


def _record(
    storage: Storage,
    state: State,
    before: RunConfig,
    after: RunConfig,
    dataset: Dataset,
    pool: PoolChange,
    wanted: Wanted,
    manifest: bytes | None,
) -> RunExtended:
    changes = {
        key: [recorded_value(old), recorded_value(new)]
        for key, old, new in changes_between(before, after)
    }
    new = pool.manifest.slice(len(pool.manifest) - pool.num_added).to_pydict()
    pixels = (height * width for height, width in zip(new["height"], new["width"], strict=True))
    amount = state.amount
    if wanted.budget is not None:
        amount = in_units(after.budget, state.created.sizes, after.budget.amount, "--budget")
    return RunExtended(
        **config_facts(after.to_yaml()),
        changes=changes,
        amount=amount,
        manifest=manifest_ref(state, manifest),
        num_added=pool.num_added,
        num_images=state.sizes.num_images + pool.num_added,
        num_regions=state.sizes.num_regions + sum(new["num_regions"]),
        num_pixels=state.sizes.num_pixels + sum(pixels),
        images=pool.digest(state),
        broken=pool.broken,
        removed=pool.removed,
        gone=pool.gone,
        returned=pool.returned,
        refused=refused_regions(storage, state, set(pool.removed)),
        class_names=dataset.class_names,
        colors=tuple((red, green, blue) for red, green, blue in dataset.colors),
        added_classes=tuple(wanted.added),
        renamed_classes=dict(wanted.renamed) or None,
    )


def manifest_ref(state: State, manifest: bytes | None) -> FileRef | None:
    """Return where the manifest of the next extension is to be written; None if there is none."""
    if manifest is None:
        return None
    return FileRef.of(RunDir.extended_manifest(len(state.extensions) + 1), manifest)


def _check_budget(config: RunConfig, state: State, record: RunExtended) -> None:
    """Refuse a budget that is more than the pool, and budgets to measure at that are beyond it."""
    unit, amount = config.budget.unit, record.amount
    total = unit.of_pool(record.sizes)
    if amount > state.amount and total is not None and amount > total:
        raise ConfigError(
            f"--budget: {amount} {unit.name} are more than the pool's {total}; lower it"
        )
    check_final_budgets(config, state.created.sizes, amount)
