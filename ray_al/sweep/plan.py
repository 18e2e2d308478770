"""The trials of a sweep: its settings times its seeds, each checked as a run is checked."""

import fnmatch
from collections.abc import Iterable, Sequence

from ray_al.core.errors import ConfigError
from ray_al.datasets import Dataset
from ray_al.driver.checks import check_config, check_pool
from ray_al.sweep.config import SweepConfig
from ray_al.sweep.naming import Setting, group_label, group_names
from ray_al.sweep.settings import check_space, fixed_settings, make_config
from ray_al.sweep.trials import Trial

POOL = {"data", "regions", "label", "budget", "scoring"}
"""Sections on which `check_pool` depends; it reads the size of every image, so it runs once for
each combination of them."""


def plan_trials(sweep: SweepConfig) -> list[Trial]:
    """Return all trials that are known beforehand: seed by seed, the reference first.

    Settings that the endpoint compares come before all others, so a sweep that is stopped early has
    answered its main question first.

    Raises:
        ConfigError: a setting cannot work; `check_config` says why.
    """
    settings = fixed_settings(sweep)
    check_space(sweep)
    groups = group_names(settings)
    trials = [
        make_trial(sweep, setting, seed, index=index, group=group)
        for seed in sweep.seeds
        for index, (group, setting) in enumerate(zip(groups, settings, strict=True))
    ]
    checked = set()
    for trial in trials[: len(settings)]:
        dataset = _check(sweep, trial)
        key = trial.config.model_dump_json(include=POOL)
        if key not in checked:
            check_pool(trial.config, dataset)
            checked.add(key)
    return in_order(sweep, trials)


def make_trial(sweep: SweepConfig, setting: Setting, seed: int, *, index: int, group: str) -> Trial:
    """Return the trial of a setting and a seed.

    Raises:
        ConfigError: the setting is no valid run.
    """
    name = f"{group}-seed{seed}"
    return Trial(
        name=name,
        group=group,
        index=index,
        seed=seed,
        setting=setting,
        config=make_config(sweep, setting, seed, name),
    )


def in_order(sweep: SweepConfig, trials: Iterable[Trial]) -> list[Trial]:
    """Return the trials in the order in which they run.

    Trials that the endpoint compares come first, then all others; both seed by seed, the reference
    first.
    """
    seeds = {seed: place for place, seed in enumerate(sweep.seeds)}
    return sorted(
        trials,
        key=lambda trial: (
            trial.index > 0 and not _is_compared(sweep, trial),
            seeds[trial.seed],
            trial.index,
        ),
    )


def choose_trials(sweep: SweepConfig, trials: Sequence[Trial], only: Sequence[str]) -> list[Trial]:
    """Return the trials that a call runs, in the same order.

    Args:
        only: names of trials or settings; `*`, `?` and `[...]` stand for others, as in names of
            files. Empty chooses all.

    Raises:
        ConfigError: a name fits no trial, or the sweep needs all of its trials.
    """
    if not only:
        return list(trials)
    if sweep.scheduler.kind != "none" or sweep.search.kind == "optuna":
        raise ConfigError(
            f"--only {' '.join(only)}: sweep {sweep.name} cannot run some of its trials alone, as "
            f"its scheduler or search must see all (scheduler.kind={sweep.scheduler.kind}, "
            f"search.kind={sweep.search.kind}); leave --only out"
        )
    chosen: set[str] = set()
    for name in only:
        fitting = {trial.name for trial in trials if _has_name(trial, name)}
        if not fitting:
            groups = ", ".join(sorted({trial.group for trial in trials}))
            raise ConfigError(
                f"sweep {sweep.name} has no trial {name!r}; its settings are {groups}, and a trial "
                f"is named like {trials[0].name}"
            )
        chosen |= fitting
    return [trial for trial in trials if trial.name in chosen]


def _has_name(trial: Trial, pattern: str) -> bool:
    names = (trial.name, trial.group, group_label(trial.setting))
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)


def _is_compared(sweep: SweepConfig, trial: Trial) -> bool:
    """Return whether the endpoint compares the trial's setting; without an endpoint, all are."""
    if sweep.endpoint is None:
        return True
    names = {name for pair in sweep.endpoint.comparisons for name in pair}
    return bool(names & {trial.group, group_label(trial.setting)})


def _check(sweep: SweepConfig, trial: Trial) -> Dataset:
    """Run `check_config` for a trial; a failure names the trial."""
    try:
        if not trial.config.data.has_validation:
            raise ConfigError(
                "data.val_split: none gives no mIoU, by which a sweep compares its runs; name a "
                "split, or draw one from the pool (data.val_split: 10 %)"
            )
        return check_config(trial.config)
    except ConfigError as error:
        reference = (
            " (the reference: `reference` of the sweep over its base)" if trial.index == 0 else ""
        )
        given = ", ".join(f"{key}={value!r}" for key, value in trial.setting.items())
        shown = given or "the base as it is"
        raise ConfigError(
            f"sweep {sweep.name}, trial {trial.group}{reference} with {shown}: {error}"
        ) from None
