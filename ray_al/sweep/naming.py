"""Names of settings: for trials, for files, and for people."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ray_al.core.families.acquisition import ACQUISITION_ENTRIES
from ray_al.core.families.batch import BATCH_RULES

Setting = Mapping[str, Any]
"""Dotted keys of a run with the values that a sweep, or a comparison, sets them to."""

HOW_FAR = ("budget", "budget.amount", "budget.per_cycle", "final.budgets")
"""Keys that say how far a run goes, in which steps, and where it is measured. They name a setting
only if it has no other key."""
FIRST = ("strategy", "strategy.acquisition", "strategy.batch", "strategy.batch.kind")
"""Keys whose values come first in a name, in this order."""
MAX_NAME = 80


def group_names(settings: Sequence[Setting]) -> list[str]:
    """Return a readable name for each setting; names that would be equal are numbered."""
    short = [group_name(_without_how_far(setting)) for setting in settings]
    names = [
        name if short.count(name) == 1 else group_name(setting)
        for name, setting in zip(short, settings, strict=True)
    ]
    return [
        name if names.count(name) == 1 else f"{name}-{index}" for index, name in enumerate(names)
    ]


def group_name(setting: Setting) -> str:
    """Return a setting's name as part of a file name.

    >>> batch = {"kind": "power", "beta": 0.5}
    >>> group_name({"strategy.batch": batch, "strategy.acquisition": "entropy"})
    'entropy-power-beta0.5'
    >>> group_name({"strategy": {"acquisition": "bvsb", "label_time": {}}})
    'bvsb-label_time'
    """
    ordered = sorted(
        setting.items(), key=lambda item: FIRST.index(item[0]) if item[0] in FIRST else len(FIRST)
    )
    slug = re.sub(r"[^A-Za-z0-9._-]+", "", "-".join(_words(dict(ordered))))[:MAX_NAME].strip("-._")
    return slug or "base"


def group_label(setting: Setting) -> str:
    """Return a setting's name for people: without how far it goes, and without an idle batch rule.

    >>> group_label({"strategy.acquisition": "random", "strategy.batch.kind": "topk"})
    'random'
    """
    setting = _without_how_far(setting)
    if is_random_draw(setting):
        setting = {
            key: value for key, value in setting.items() if not key.startswith("strategy.batch")
        }
    return group_name(setting)


def is_random_draw(setting: Setting) -> bool:
    """Return whether a setting draws regions at random: random scores, and a rule that ranks them.

    Names that this installation does not know, such as a user's own `package.module:Class`, are not
    imported: results can be compared where the code that made them is missing.
    """
    function = ACQUISITION_ENTRIES.get(str(setting.get("strategy.acquisition")))
    kind = setting.get("strategy.batch.kind", BATCH_RULES.default)
    if function is None or function.needs_model or kind not in BATCH_RULES.kinds:
        return False
    return BATCH_RULES.find(str(kind)).ranks_scores


def _without_how_far(setting: Setting) -> Setting:
    """Return the setting without `HOW_FAR`, if other keys are left."""
    return {key: value for key, value in setting.items() if key not in HOW_FAR} or setting


def _words(setting: Setting) -> Iterator[str]:
    for key, value in setting.items():
        short = key.rsplit(".", 1)[-1]
        if isinstance(value, Mapping):
            yield from _words(value) if value else (short,)
        elif isinstance(value, str) and not re.match(r"[\d.]", value):
            yield value
        else:
            yield f"{short}{value}"
