"""Names of groups of runs, from the settings in which they differ."""

from collections.abc import Sequence

from ray_al.core.families.regions import REGIONS, Regions
from ray_al.sweep.naming import Setting, group_label, group_name, is_random_draw

PREFIX = "regions."
OPTIONAL = ("budget.", "label.")
"""Keys that are left out of names if the names differ without them, such as how far a run goes."""


def group_labels(
    settings: Sequence[Setting], values: Sequence[Setting], in_sweeps: Sequence[str] = ()
) -> list[str]:
    """Return a name for each group, such as `bvsb-stratified 5x5`.

    Names differ if the settings differ in keys that are named.

    Args:
        settings: for each group, the keys in which groups differ.
        values: for each group, all keys.
        in_sweeps: for each group, the name that its sweep gives to its setting; they are taken if
            all groups have one, and they differ.
    """
    pairs = list(zip(settings, values, strict=True))
    if in_sweeps and all(in_sweeps):
        known = [
            _at_regions("random" if _is_random(*pair) else name, *pair)
            for name, pair in zip(in_sweeps, pairs, strict=True)
        ]
        if len(set(known)) == len(known):
            return known
    names = [_name(*pair) for pair in pairs]
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
    if not strategy and any(key.startswith(PREFIX) for key in setting):
        return granularity(setting, values)
    return _at_regions(group_label(strategy), setting, values)


def _at_regions(name: str, setting: Setting, values: Setting) -> str:
    """Return a strategy's name with how images are divided, if that differs between groups."""
    if not any(key.startswith(PREFIX) for key in setting):
        return name
    return f"{name} {granularity(setting, values)}"


def _is_random(setting: Setting, values: Setting) -> bool:
    """Return whether this is the strategy that draws at random, among others that do not."""
    return "strategy.acquisition" in setting and is_random_draw(values)


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
