"""Names of groups of runs, from the settings in which they differ."""

from collections.abc import Mapping, Sequence
from typing import Any

from ray_al.core.families.regions import REGIONS, Regions
from ray_al.sweep.plan import group_label, group_name

Setting = Mapping[str, Any]
PREFIX = "regions."
UNTOLD = ("budget.", "label.")
"""Keys that are left out of names where these tell the groups apart without them: how far a run went, for one."""


def group_labels(settings: Sequence[Setting], values: Sequence[Setting]) -> list[str]:
    """A name a group, `bvsb-stratified 5x5`, all of them different where their settings are.

    Args:
        settings: of each group, the keys in which groups differ.
        values: of each group, all keys.
    """
    names = [_name(setting, all_keys) for setting, all_keys in zip(settings, values, strict=True)]
    if len(set(names)) == len(names):
        return names
    names = [group_label(setting) for setting in settings]
    return names if len(set(names)) == len(names) else [group_name(setting) for setting in settings]


def _name(setting: Setting, values: Setting) -> str:
    strategy = {
        key: value for key, value in setting.items() if not key.startswith((PREFIX, *UNTOLD))
    }
    if not any(key.startswith(PREFIX) for key in setting):
        return group_label(strategy)
    return (
        f"{group_label(strategy)} {granularity(setting, values)}"
        if strategy
        else granularity(setting, values)
    )


def granularity(setting: Setting, values: Setting) -> str:
    """How the images are divided, for people: `5x5`, `images`, `pixels`, `superpixels200`."""
    return regions_of(values).describe(
        [key.removeprefix(PREFIX) for key in setting if key.startswith(PREFIX)]
    )


def regions_of(values: Setting) -> Regions:
    """The region kind of a run, from all its keys."""
    return REGIONS.parse(
        {key.removeprefix(PREFIX): value for key, value in values.items() if key.startswith(PREFIX)}
    )
