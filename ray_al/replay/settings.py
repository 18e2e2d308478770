"""The other strategy of a replay, as far as the stored scores allow it."""

from collections.abc import Sequence

from ray_al.acquisition import ACQUISITIONS, find_acquisition
from ray_al.acquisition.acquisition import Acquisition
from ray_al.core.config import RunConfig, apply_setting, parse_config, parse_override
from ray_al.core.errors import ConfigError
from ray_al.core.families.acquisition import ACQUISITION_SETTINGS
from ray_al.datasets import open_dataset
from ray_al.driver.check_strategy import check_scores
from ray_al.ledger import State
from ray_al.replay.replayed import Functions

MANY = 2**31
"""Regions: more than any query holds."""
CHOICE = (
    "acquisition",
    "batch",
    "per_image",
    "min_distance",
    "label_time",
    "skip_void_by_ground_truth",
)
"""Keys of `strategy` that are read when a query is chosen from scores. Every other key, also one
that a later version adds, may have changed the stored scores themselves, so replay refuses it."""


def replayable(stored: str) -> Functions:
    """Return the functions that can be replayed in a run that scored with `stored`.

    These are that function, and functions that need no model.
    """
    held = [name for name, function in ACQUISITIONS.items() if _is_held(name, function, stored)]
    others = [name for name in ACQUISITIONS if name not in held]
    return Functions(stored=tuple(held), not_stored=tuple(others))


def _is_held(name: str, function: Acquisition, stored: str) -> bool:
    return name == stored or not function.needs_model


def other_config(
    config: RunConfig, state: State, overrides: Sequence[str], cycles: set[int]
) -> RunConfig:
    """Return the run's configuration with another way to choose.

    Lazy scoring, which chooses no region, is left out.
    """
    values = config.model_dump(mode="json")
    for override in overrides:
        keys, value = parse_override(override)
        if keys[0] != "strategy":
            raise ConfigError(
                f"--set {override}: replay trains nothing, so it can change keys of `strategy` only"
            )
        apply_setting(values, ".".join(keys), value)
    other = parse_config(values, source="replay")
    _check_only_choice_changed(config, other)
    other = other.model_copy(update={"strategy": other.strategy.model_copy(update={"lazy": None})})
    check_scores(other, find_acquisition(other.strategy.acquisition))
    check_features(config, other, state, cycles)
    if other.strategy.skip_void_by_ground_truth and None in [
        image.mask_uri
        for image in open_dataset(config.data, asks_people=config.label.validation).splits["train"]
    ]:
        raise ConfigError(
            "strategy.skip_void_by_ground_truth: it reads ground truth that this pool does not "
            "have; set it to false"
        )
    return other


def _check_only_choice_changed(config: RunConfig, other: RunConfig) -> None:
    before, after = config.strategy.model_dump(mode="json"), other.strategy.model_dump(mode="json")
    score = other.strategy.acquisition
    if not _is_held(score, find_acquisition(score), config.strategy.acquisition):
        held = " or ".join(replayable(config.strategy.acquisition).stored)
        raise ConfigError(
            f"strategy.acquisition={score!r} needs what this run did not store: it scored with "
            f"{config.strategy.acquisition!r}; replay {held}, or run {score!r}"
        )
    changed = [
        key
        for key in after
        if after[key] != before[key]
        and key not in CHOICE
        and score in ACQUISITION_SETTINGS.get(key, score)
    ]
    if changed:
        raise ConfigError(
            f"strategy.{changed[0]}={after[changed[0]]!r}: the stored scores were made with "
            f"{before[changed[0]]!r}, and replay scores nothing anew; leave it as it is "
            f"(replay can change {', '.join(CHOICE)}), or start a run with it"
        )


def check_features(config: RunConfig, other: RunConfig, state: State, cycles: set[int]) -> None:
    """Refuse a strategy that reads features, outlines or class covers that the run did not store.

    Args:
        cycles: that are replayed.
    """
    batch, stored = other.strategy.batch, config.strategy.batch
    rule = f"strategy.batch.kind={batch.kind!r}"
    if other.strategy.label_time is not None and config.strategy.label_time is None:
        raise ConfigError(
            "strategy.label_time needs the outlines predicted in each region, which this run did "
            "not store; run it"
        )
    if batch.reads_covers and not stored.reads_covers:
        raise ConfigError(
            f"{rule} needs the classes that cover each region, which this run did not store; run it"
        )
    if not batch.reads_features:
        return
    if (
        other.strategy.acquisition != config.strategy.acquisition
        or not cycles <= state.extracted.keys()
    ):
        raise ConfigError(
            f"{rule} needs features of the best candidates, which this run did not store; run it"
        )
    most, known = batch.num_candidates(MANY), stored.num_candidates(MANY)
    if _exceeds(most, known):
        raise ConfigError(
            f"strategy.batch.candidates={most}: this run stored features of the best {known} "
            f"candidates of a cycle; give at most {known}"
        )
    if _exceeds(batch.num_candidates(1), few := stored.num_candidates(1)):
        raise ConfigError(
            f"{rule}: it looks at more candidates, this run stored features of {few} times as many "
            "as a query holds; run it"
        )


def _exceeds(most: int | None, known: int | None) -> bool:
    """Return whether a rule looks at more candidates than another; None stands for all."""
    return known is not None and (most is None or most > known)
