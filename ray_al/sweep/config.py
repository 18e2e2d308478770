"""The typed sweep file: a base run, a space over its keys, seeds, search, scheduler and limits."""

import itertools
import json
import os
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from ray_al.core.config import (
    Amount,
    absolute,
    apply_setting,
    folder_of,
    make_absolute,
    parse_override,
    read_yaml,
)
from ray_al.core.config.paths import absolute_value
from ray_al.core.errors import ConfigError
from ray_al.core.plain import dump_yaml
from ray_al.core.section import Section, Seed
from ray_al.core.validation import validate

SPACES = ("grid", "choice", "range", "log_range", "int_range")


class ParameterSpace(Section):
    """The values of one key: exactly one of the five."""

    grid: Annotated[tuple[Any, ...], Field(min_length=1)] | None = None
    """Values that are all tried, with every combination of the other grids."""
    choice: Annotated[tuple[Any, ...], Field(min_length=1)] | None = None
    """Values of which one is drawn."""
    range: tuple[float, float] | None = None
    """Lower and upper end between which a number is drawn uniformly."""
    log_range: tuple[float, float] | None = None
    """Lower and upper end, above 0, between which a number is drawn uniformly in its logarithm."""
    int_range: tuple[int, int] | None = None
    """Lower and upper end between which a whole number is drawn."""

    @model_validator(mode="after")
    def _one_kind(self) -> "ParameterSpace":
        given = [kind for kind in SPACES if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"found {given or 'nothing'}; give exactly one of {', '.join(SPACES)}")
        if self.kind in ("grid", "choice"):
            _check_each_once(self.values)
        else:
            _check_ends(self.kind, *self.values)
        return self

    @property
    def kind(self) -> str:
        """Which of the five is given."""
        return next(kind for kind in SPACES if getattr(self, kind) is not None)

    @property
    def values(self) -> tuple[Any, ...]:
        """All values of a grid or choice, both ends of a range."""
        return tuple(getattr(self, self.kind))

    def with_absolute_paths(self, key: str, folder: str) -> "ParameterSpace":
        """Return the same values for `key`, with paths relative to `folder` made absolute."""
        if self.kind not in ("grid", "choice"):
            return self
        values = tuple(absolute_value(key, value, folder) for value in self.values)
        return self.model_copy(update={self.kind: values})


def _check_each_once(values: tuple[Any, ...]) -> None:
    """Refuse a value that is given twice; 1 and True, or 1 and 1.0, are different values."""
    for value in values:
        if sum(value == other and type(value) is type(other) for other in values) > 1:
            raise ValueError(f"{value!r} is listed twice; remove one")


def _check_ends(kind: str, low: float, high: float) -> None:
    """Refuse the ends of a range between which nothing can be drawn."""
    if not low < high or (kind == "log_range" and low <= 0):
        above = " above 0" if kind == "log_range" else ""
        raise ValueError(f"[{low}, {high}] is no {kind}; give a lower and an upper end{above}")


def _space(value: Any) -> Any:
    """Turn a plain list into a grid."""
    if isinstance(value, list | tuple):
        return {"grid": value}
    if not isinstance(value, Mapping):
        raise ValueError(
            "give a list of values, or one of " + ", ".join(f"{{{kind}: […]}}" for kind in SPACES)
        )
    return value


class SearchConfig(Section):
    """The search for settings in the space."""

    kind: Literal["grid", "random", "optuna"] = "grid"
    """How settings are taken from the space: all of a grid, at random, or by Optuna."""
    trials: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Number of settings that `random` and `optuna` draw; each is run with every seed."""
    seed: Seed = 0
    """Seed of the drawing."""

    @model_validator(mode="after")
    def _number(self) -> "SearchConfig":
        if (self.kind == "grid") != (self.trials is None):
            raise ValueError(
                "trials: a grid is run whole, leave it out"
                if self.kind == "grid"
                else f"trials is missing; {self.kind} needs the number of settings"
            )
        return self


class SchedulerConfig(Section):
    """When trials that fall behind are stopped; they are compared at equal budgets."""

    kind: Literal["none", "asha", "median"] = "none"
    """Which trials are stopped early: none, those below a rung's best part (`asha`), or those below
    the median.
    """
    first: Amount | None = None
    """Budget of the first comparison, as a count or share in the runs' unit."""
    reduction: Annotated[float, Field(gt=1, le=1e6)] = 2.0
    """With `asha`, the factor between the budgets of two rungs; one trial in `reduction` continues.
    """
    min_trials: Annotated[int, Field(ge=2, le=1_000_000)] = 3
    """With `median`, the number of trials that must have reached a budget before one is stopped
    there.
    """


class LimitsConfig(Section):
    """Bounds of the work that one call of `ray-al sweep` does."""

    at_once: Annotated[int, Field(ge=1, le=100_000)] | Literal["auto"] = "auto"
    """Number of trials that run at a time; `auto` takes as many as fit on the cluster."""
    hours: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Hours that one call of `ray-al sweep` may take, shared starts included; `--resume` has as
    many again.
    """
    labels: Annotated[int, Field(ge=1, le=2**62)] | None = None
    """New labels, in the runs' budget unit, that all runs of one call of `ray-al sweep` together
    may buy. A shared start counts once, and labels that earlier calls bought do not count. The call
    then ends; `--resume` continues and may buy as many again.
    """
    retries: Annotated[int, Field(ge=0, le=1000)] = 3
    """How often a trial is continued after its process died."""


class EndpointConfig(Section):
    """The comparisons, and the score, that answer the question of a sweep."""

    budgets: Annotated[tuple[Amount, ...], Field(min_length=1)]
    """Counts or shares in the runs' unit; the endpoint of a run is the mean of its scores at these
    budgets.
    """
    measure: Literal["final_miou", "miou"] = "final_miou"
    """The score: `final_miou` of the measured models, or `miou` of the models that choose."""
    comparisons: Annotated[tuple[tuple[str, str], ...], Field(min_length=1)]
    """Pairs of names of settings, as `--dry-run` shows them; the first minus the second is tested,
    and Holm's correction counts these pairs alone.
    """

    @model_validator(mode="after")
    def _each_once(self) -> "EndpointConfig":
        if len(set(self.budgets)) != len(self.budgets):
            raise ValueError(f"budgets={list(self.budgets)} holds a budget twice; name each once")
        pairs = [frozenset(pair) for pair in self.comparisons]
        for pair, names in zip(pairs, self.comparisons, strict=True):
            if len(pair) == 1:
                raise ValueError(
                    f"comparisons: {list(names)} compares a setting with itself; name two"
                )
            if pairs.count(pair) > 1:
                raise ValueError(f"comparisons: {list(names)} is listed twice; name each pair once")
        return self


class SweepConfig(Section):
    """A sweep: `base` (a file), and `run` (values over it), make the configuration to vary."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "sweep"
    """Name of the sweep, from which the name of its directory is made."""
    base: Annotated[str, Field(min_length=1)] | None = None
    """Path of the configuration file that the sweep starts from, relative to the sweep file."""
    run: dict[str, Any] = Field(default_factory=dict)
    """Dotted keys of a run, or whole sections, with values that replace those of `base`."""
    space: dict[
        str,
        Annotated[
            ParameterSpace,
            BeforeValidator(_space, json_schema_input_type=ParameterSpace | tuple[Any, ...]),
        ],
    ] = Field(default_factory=dict)
    """Values to try, by dotted key of a run; a plain list is a grid."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    """Seeds with which every setting is run."""
    reference: dict[str, Any] = Field(
        default_factory=lambda: {"strategy.acquisition": "random", "strategy.batch.kind": "topk"}
    )
    """Settings of the strategy that all others are compared with; it always takes part."""
    search: SearchConfig = SearchConfig()
    """How settings are taken from the space."""
    scheduler: SchedulerConfig = SchedulerConfig()
    """Which trials are stopped before they have spent their budget."""
    limits: LimitsConfig = LimitsConfig()
    """Limits of one call of `ray-al sweep`."""
    endpoint: EndpointConfig | None = None
    """The question that the sweep answers, stated before its runs are made."""

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds):
            raise ValueError(f"{list(seeds)} holds a seed twice; the same seed gives the same run")
        return seeds

    @model_validator(mode="after")
    def _fits_together(self) -> "SweepConfig":
        self._check_search()
        for key, other in itertools.permutations(self.space, 2):
            if other.startswith(f"{key}."):
                raise ValueError(
                    f"space.{key} and space.{other}: one holds the other; vary one of them"
                )
        if "seed" in self.space:
            raise ValueError("space.seed: seeds are not a setting; list them under `seeds`")
        return self

    def _check_search(self) -> None:
        """Refuse a space from which the search cannot take settings."""
        sampled = [key for key, space in self.space.items() if space.kind != "grid"]
        gridded = [key for key, space in self.space.items() if space.kind == "grid"]
        if self.search.kind == "grid" and sampled:
            key = sampled[0]
            raise ValueError(
                f"space.{key}: search.kind=grid takes lists only, this is a "
                f"{self.space[key].kind}; write a list, or search.kind=random"
            )
        if self.search.kind == "optuna" and gridded:
            raise ValueError(
                f"space.{gridded[0]}: search.kind=optuna chooses itself; write {{choice: […]}}"
            )
        if self.search.kind == "random" and not sampled:
            raise ValueError(
                "search.kind=random: the space has nothing to draw from; "
                "give a choice or range, or search.kind=grid"
            )
        if self.search.kind == "optuna" and not self.space:
            raise ValueError("search.kind=optuna: the space is empty; give a choice or range")

    def to_yaml(self) -> str:
        """Return the sweep as YAML, without the keys that are not set."""
        return dump_yaml(json.loads(self.model_dump_json(exclude_none=True)))


def load_sweep(path: str, overrides: Iterable[str] = ()) -> SweepConfig:
    """Read a sweep file; `run` of the result is the whole base configuration.

    Args:
        overrides: `key=value` texts with keys of a run, applied over the base and the file.

    Raises:
        ConfigError: naming the file or key, the value seen and the remedy.
    """
    values, folder = read_yaml(path), folder_of(path)
    sweep = validate(SweepConfig, values, source=path)
    base: dict[str, Any] = {}
    if sweep.base is not None:
        base_path = absolute(sweep.base, folder)
        base = read_yaml(base_path)
        make_absolute(base, folder_of(base_path))
    for key, value in sweep.run.items():
        apply_setting(base, key, value, folder=folder)
    for override in overrides:
        keys, value = parse_override(override)
        if keys[0] == "seed" or keys[0] in SweepConfig.model_fields.keys() - {"name"}:
            key = "seeds" if keys[0] == "seed" else keys[0]
            raise ConfigError(
                f"--set {override}: --set changes settings of the runs; {key!r} is a key of the "
                f"sweep file, so change it in {path}"
            )
        apply_setting(base, ".".join(keys), value, folder=os.getcwd())
    if "seed" in base:
        del base["seed"]
    space = {key: one.with_absolute_paths(key, folder) for key, one in sweep.space.items()}
    reference = {key: absolute_value(key, value, folder) for key, value in sweep.reference.items()}
    return sweep.model_copy(
        update={"base": None, "run": base, "space": space, "reference": reference}
    )
