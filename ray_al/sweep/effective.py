"""A configuration reduced to the settings that have an effect on its run."""

import json
from typing import Any

from ray_al.core.config import RunConfig
from ray_al.core.families.acquisition import ACQUISITION_ENTRIES, FunctionEntry
from ray_al.core.families.batch import BATCH_RULES


def canonical(config: RunConfig) -> str:
    """Return equal texts for configurations that make the same run but for its name and seed."""
    return json.dumps(effective_values(config, exclude={"name", "seed"}), sort_keys=True)


def effective_values(config: RunConfig, *, exclude: set[str]) -> dict[str, Any]:
    """Return the configuration as plain values, without the settings that nothing reads.

    These are the settings of the strategy that its acquisition function does not read, the batch
    rule if it only ranks random scores, the features of a network that is not frozen, and the place
    where features are kept.

    Args:
        exclude: sections or keys of the top level that are left out too.
    """
    values = config.model_dump(mode="json", exclude=exclude)
    if config.model.is_frozen:
        del values["features"]["store"]
    else:
        del values["features"]
    strategy = values["strategy"]
    function = find_entry(strategy["acquisition"])
    if not function.needs_model and config.strategy.batch.ranks_scores:
        strategy["batch"] = {"kind": BATCH_RULES.default}
    for key, default in function.settings.items():
        if key in strategy and strategy[key] is None:
            strategy[key] = default
    values["strategy"] = {key: value for key, value in strategy.items() if function.reads(key)}
    return values


def find_entry(acquisition: str) -> FunctionEntry:
    """Return what an acquisition function reads, without loading torch for a built-in one.

    Raises:
        ConfigError: there is no such function.
    """
    if acquisition in ACQUISITION_ENTRIES:
        return ACQUISITION_ENTRIES[acquisition]
    # A user's own function is a class or function of torch, and so is the base of its class.
    from ray_al.acquisition import entry_of, find_acquisition

    return entry_of(find_acquisition(acquisition))
