"""What a sweep runs: settings drawn from the space, times the seeds, each checked as a run is checked."""

import copy
import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ray_al.core.config import RunConfig, apply_setting, parse_config, parse_yaml
from ray_al.core.errors import ConfigError
from ray_al.core.plain import dump_yaml
from ray_al.core.seeding import generator
from ray_al.core.storage import Storage, join_uri
from ray_al.core.strategy import SCORE_SETTINGS
from ray_al.core.validation import family_at
from ray_al.datasets import Dataset
from ray_al.driver.checks import check_config, check_pool
from ray_al.score.functions import find_acquisition, open_acquisition
from ray_al.sweep.config import Space, SweepConfig

Setting = Mapping[str, Any]
MAX_GRID = 10_000


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run of a sweep. `setting` holds the keys that the space (or the reference) sets; `index` is the setting's number."""

    name: str
    group: str
    index: int
    seed: int
    setting: Setting
    config: RunConfig

    def to_bytes(self) -> bytes:
        values = {
            "name": self.name,
            "group": self.group,
            "index": self.index,
            "seed": self.seed,
            "setting": dict(self.setting),
        }
        return dump_yaml({**values, "config": self.config.model_dump(mode="json")}).encode()

    @staticmethod
    def from_bytes(data: bytes, *, source: str) -> "Trial":
        values = parse_yaml(data, source=source)
        kinds: dict[str, type] = {
            "name": str,
            "group": str,
            "index": int,
            "seed": int,
            "setting": dict,
            "config": dict,
        }
        wrong = sorted(
            name for name, kind in kinds.items() if not isinstance(values.get(name), kind)
        )
        if wrong or values.keys() - kinds.keys():
            raise ConfigError(
                f"{source}: not a trial of a sweep ({', '.join(wrong) or 'it has other keys too'}); restore the file from a copy"
            )
        config = parse_config(values.pop("config"), source=source)
        return Trial(config=config, **values)


def make_config(sweep: SweepConfig, setting: Setting, seed: int, name: str) -> RunConfig:
    """The configuration of the run with `setting` and `seed`.

    Raises:
        ConfigError: naming the setting, and what is wrong with it.
    """
    values = copy.deepcopy(sweep.run)
    for key in sorted(
        setting, key=lambda key: (key.count("."), not key.endswith(".kind"))
    ):  # a kind before its settings
        if not _is_of_another_kind(sweep, setting, key):
            apply_setting(values, key, setting[key])
    values.update(name=name, seed=seed)
    apply_setting(values, "cluster.host", "process")  # the trial is the host
    values.pop("tracking", None)  # Tune's callbacks do it
    shown = ", ".join(f"{key}={value!r}" for key, value in setting.items()) or "base"
    config = parse_config(values, source=f"sweep {sweep.name}, {shown}")
    if (
        config.strategy.lazy
        and not find_acquisition(config.strategy.score).needs_model
        and not _sets(setting, "strategy.lazy")
    ):
        # A score that looks at no image has nothing to save: what the base says of lazy scoring is meant for the others.
        config = config.model_copy(
            update={"strategy": config.strategy.model_copy(update={"lazy": None})}
        )
    if not config.label.annotator.answers_at_once:
        raise ConfigError(
            f"sweep {sweep.name}: label.annotator={config.label.annotator.kind!r}: a sweep cannot wait for people; use 'simulated'"
        )
    return config


def _is_of_another_kind(sweep: SweepConfig, setting: Setting, key: str) -> bool:
    """Whether a key has no meaning in a setting, since it belongs to another kind that the space has on an axis.

    Where a space varies both `strategy.batch.kind` and `strategy.batch.beta`, beta concerns the kinds that have it.
    """
    place, _, name = key.rpartition(".")
    if place == "strategy" and name in SCORE_SETTINGS:
        return _is_of_another_score(sweep, setting, name)
    kind, axis, family = (
        setting.get(f"{place}.kind"),
        sweep.space.get(f"{place}.kind"),
        family_at(RunConfig, place),
    )
    if (
        family is None
        or axis is None
        or name == "kind"
        or not all(isinstance(one, str) for one in (kind, *axis.values))
    ):
        return False
    has_it = {one for one in (kind, *axis.values) if name in family.find(one).model_fields}
    return bool(has_it) and kind not in has_it


def _is_of_another_score(sweep: SweepConfig, setting: Setting, name: str) -> bool:
    """Whether a setting of `strategy` belongs to another score that the space has on an axis."""
    score, axis = setting.get("strategy.score"), sweep.space.get("strategy.score")
    readers = SCORE_SETTINGS[name]
    return axis is not None and score not in readers and any(one in readers for one in axis.values)


def _sets(setting: Setting, key: str) -> bool:
    """Whether a setting gives `key` itself, or a key inside it."""
    return any(one == key or one.startswith(f"{key}.") for one in setting)


def canonical(config: RunConfig) -> str:
    """Equal texts for configurations that make the same run: settings that have no effect do not count."""
    return json.dumps(effective_values(config, exclude={"name", "seed"}), sort_keys=True)


def effective_values(config: RunConfig, *, exclude: set[str]) -> dict[str, Any]:
    """The configuration as plain values, without the settings that nothing looks at: those of the strategy beside its function and rule, those of
    features of a network that is not frozen, and where features are kept."""
    values = config.model_dump(mode="json", exclude=exclude)
    if config.model.is_frozen:
        del values["features"]["store"]
    else:
        del values["features"]
    strategy = values["strategy"]
    function = find_acquisition(strategy["score"])
    if function.inputs == "none" and config.strategy.batch.ranks_scores:
        strategy["batch"] = {"kind": "topk"}
    own = open_acquisition(config.strategy).model_dump(mode="json", exclude={"kind"})
    values["strategy"] = {
        key: own.get(key, value) for key, value in strategy.items() if function.reads(key)
    }
    return values


def fixed_settings(sweep: SweepConfig) -> list[Setting]:
    """The settings known beforehand, the reference first, each once; with Optuna that is the reference alone.

    Raises:
        ConfigError: a setting is no valid run, or the grid is too large.
    """
    settings: list[Setting] = [dict(sweep.reference)]
    if sweep.search.kind == "grid":
        settings += _grid(sweep)
    elif sweep.search.kind == "random":
        settings += _random(sweep)
    seen: dict[str, Setting] = {}
    for setting in settings:
        seen.setdefault(canonical(make_config(sweep, setting, sweep.seeds[0], "check")), setting)
    return list(seen.values())


def _grid(sweep: SweepConfig) -> list[Setting]:
    axes = [(key, space.values) for key, space in sweep.space.items() if space.kind == "grid"]
    size = math.prod(len(values) for _, values in axes)
    if size > MAX_GRID:
        raise ConfigError(
            f"space: the grid has {size} settings, more than {MAX_GRID}; take search.kind=random with a number of trials"
        )
    return [
        dict(zip((key for key, _ in axes), values, strict=True))
        for values in itertools.product(*(values for _, values in axes))
    ]


def _random(sweep: SweepConfig) -> list[Setting]:
    """Every grid point, `search.trials` draws in all (at least one a grid point)."""
    grid = _grid(sweep)
    assert sweep.search.trials is not None
    drawn: list[Setting] = []
    for number in range(max(sweep.search.trials, len(grid))):
        rng = generator("sweep", sweep.search.seed, number)
        setting = dict(grid[number % len(grid)])
        for key, space in sweep.space.items():
            if space.kind != "grid":
                setting[key] = draw(space, rng.random())
        drawn.append({key: setting[key] for key in sweep.space})
    return drawn


def draw(space: Space, position: float) -> Any:
    """The value at `position` in [0, 1) of a choice or range."""
    if space.kind == "choice":
        return space.values[int(position * len(space.values))]
    low, high = space.values
    if space.kind == "int_range":
        return int(low + position * (high - low + 1))
    if space.kind == "log_range":
        return float(f"{math.exp(math.log(low) + position * (math.log(high) - math.log(low))):.6g}")
    return float(f"{low + position * (high - low):.6g}")


def check_space(sweep: SweepConfig) -> None:
    """Check what a search may still suggest: every choice, and both ends of every range, one at a time.

    Raises:
        ConfigError: naming the key and value.
    """
    if sweep.search.kind == "grid":
        return
    first = {key: space.values[0] for key, space in sweep.space.items()}
    for key, space in sweep.space.items():
        for value in space.values:
            check_config(make_config(sweep, {**first, key: value}, sweep.seeds[0], "check"))


def plan_trials(sweep: SweepConfig) -> list[Trial]:
    """All trials known beforehand: seed by seed, the reference first.

    Settings that the endpoint compares come before all others, so that a sweep that is stopped early answers
    what it was asked first.

    Raises:
        ConfigError: as `check_config` of a run, for the first setting that cannot work.
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
        looks = {"data", "regions", "label", "budget", "score"}
        if (
            key := trial.config.model_dump_json(include=looks)
        ) not in checked:  # it reads the size of every image
            check_pool(trial.config, dataset)
            checked.add(key)
    return in_order(sweep, trials)


def in_order(sweep: SweepConfig, trials: Iterable[Trial]) -> list[Trial]:
    """The trials as they are run: those that the endpoint compares before all others, seed by seed, the reference first."""
    seeds = {seed: place for place, seed in enumerate(sweep.seeds)}
    return sorted(
        trials,
        key=lambda trial: (
            trial.index > 0 and not _is_compared(sweep, trial),
            seeds[trial.seed],
            trial.index,
        ),
    )


def _is_compared(sweep: SweepConfig, trial: Trial) -> bool:
    """Whether a comparison of the endpoint names the trial's setting; all are where no endpoint is named."""
    if sweep.endpoint is None:
        return True
    names = {name for pair in sweep.endpoint.comparisons for name in pair}
    return bool(names & {trial.group, group_label(trial.setting)})


def _check(sweep: SweepConfig, trial: Trial) -> Dataset:
    """`check_config`, whose message then says which trial cannot work."""
    try:
        return check_config(trial.config)
    except ConfigError as error:
        reference = (
            " (the reference: `reference` of the sweep over its base)" if trial.index == 0 else ""
        )
        shown = (
            ", ".join(f"{key}={value!r}" for key, value in trial.setting.items())
            or "the base as it is"
        )
        raise ConfigError(
            f"sweep {sweep.name}, trial {trial.group}{reference} with {shown}: {error}"
        ) from None


def make_trial(sweep: SweepConfig, setting: Setting, seed: int, *, index: int, group: str) -> Trial:
    name = f"{group}-seed{seed}"
    return Trial(
        name=name,
        group=group,
        index=index,
        seed=seed,
        setting=setting,
        config=make_config(sweep, setting, seed, name),
    )


def group_names(settings: list[Setting]) -> list[str]:
    """A readable name a setting; numbered where two read alike."""
    short = [group_name(_strategy(setting)) for setting in settings]
    names = [
        name if short.count(name) == 1 else group_name(setting)
        for name, setting in zip(short, settings, strict=True)
    ]
    return [
        name if names.count(name) == 1 else f"{name}-{index}" for index, name in enumerate(names)
    ]


HOW_FAR = ("budget", "budget.amount", "budget.per_cycle", "final.budgets")
"""Keys that say how far a run goes, in which steps, and where it is measured: no strategy is named by them alone."""


def _strategy(setting: Setting) -> Setting:
    """The setting without `HOW_FAR`, where something else is left."""
    return {key: value for key, value in setting.items() if key not in HOW_FAR} or setting


def group_name(setting: Setting) -> str:
    """`entropy-power-beta0.5` for {strategy.score: entropy, strategy.batch: {kind: power, beta: 0.5}}."""
    first = ["strategy", "strategy.score", "strategy.batch", "strategy.batch.kind"]
    ordered = sorted(
        setting.items(), key=lambda item: first.index(item[0]) if item[0] in first else len(first)
    )
    slug = re.sub(r"[^A-Za-z0-9._-]+", "", "-".join(_words(dict(ordered))))[:80].strip("-._")
    return slug or "base"


def group_label(setting: Mapping[str, Any]) -> str:
    """`entropy-power-beta0.5`; of random scores the highest are a random draw, no rule worth naming, nor is how far a run goes."""
    setting = _strategy(setting)
    if (
        setting.get("strategy.score") == "random"
        and setting.get("strategy.batch.kind", "topk") == "topk"
    ):
        setting = {
            key: value for key, value in setting.items() if not key.startswith("strategy.batch")
        }
    return group_name(setting)


def _words(setting: Mapping[str, Any]) -> Iterator[str]:
    for key, value in setting.items():
        short = key.rsplit(".", 1)[-1]
        if isinstance(value, Mapping):
            yield from _words(value)
        elif isinstance(value, str) and not re.match(r"[\d.]", value):
            yield value
        else:
            yield f"{short}{value}"


def start_digest(config: RunConfig) -> str:
    """Names the start that runs share; from the configuration of the start run."""
    values = config.model_dump(mode="json", exclude={"name", "cluster", "tracking"})
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


TRIALS, RUNS, STARTS = "trials", "runs", "starts"


def trial_file(name: str) -> str:
    return f"{TRIALS}/{name}.yaml"


def run_uri(sweep_uri: str, name: str) -> str:
    return join_uri(sweep_uri, RUNS, name)


def read_trials(storage: Storage) -> list[Trial]:
    """The trials of a sweep directory, seed by seed."""
    names = [name for name in storage.list(TRIALS) if name.endswith(".yaml")]
    trials = [
        Trial.from_bytes(storage.read(f"{TRIALS}/{name}"), source=storage.uri(f"{TRIALS}/{name}"))
        for name in names
    ]
    return sorted(trials, key=lambda trial: (trial.seed, trial.index))
