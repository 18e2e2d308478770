"""Names of groups of runs, from the settings in which they differ."""

from collections.abc import Sequence

from ray_al.core.families.regions import REGIONS, Regions
from ray_al.sweep.naming import Setting, group_label, group_name

PREFIX = "regions."
OPTIONAL = ("budget.", "label.")
"""Keys that are left out of names if the names differ without them, such as how far a run goes."""


def group_labels(settings: Sequence[Setting], values: Sequence[Setting]) -> list[str]:
    """Return a name for each group, such as `bvsb-stratified 5x5`.

    Names differ if the settings differ in keys that are named.

    Args:
        settings: for each group, the keys in which groups differ.
        values: for each group, all keys.
    """
    names = [_name(setting, all_keys) for setting, all_keys in zip(settings, values, strict=True)]
    if len(set(names)) == len(names):
        return names
    names = [group_label(setting) for setting in settings]
    if len(set(names)) == len(names):
        return names
    return [group_name(setting) for setting in settings]


def _name(setting: Setting, values: Setting) -> str:
    strategy = {
        key: value for key, value in setting.items() if not key.startswith((PREFIX, *OPTIONAL))
    }
    if not any(key.startswith(PREFIX) for key in setting):
        return group_label(strategy)
    regions = granularity(setting, values)
    return f"{group_label(strategy)} {regions}" if strategy else regions


def granularity(setting: Setting, values: Setting) -> str:
    """Return how images are divided, for people: `5x5`, `images`, `pixels`, `superpixels200`."""
    keys = [key.removeprefix(PREFIX) for key in setting if key.startswith(PREFIX)]
    return regions_of(values).describe(keys)


def regions_of(values: Setting) -> Regions:
    """Return the region kind of a run, from all its keys.

    Runs of early versions recorded the keys of every kind; those of other kinds are passed over.
    """
    given = {
        key.removeprefix(PREFIX): value for key, value in values.items() if key.startswith(PREFIX)
    }
    known = {"kind", *REGIONS.find(str(REGIONS.kind_of(given))).model_fields}
    return REGIONS.parse({key: value for key, value in given.items() if key in known})
