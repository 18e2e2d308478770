"""The typed sweep file: a base run, a space over its keys, seeds, a search, a scheduler and limits."""

import json
import os
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from ray_al.core.config import Amount, absolute, apply_setting, folder_of, make_absolute, parse_override, read_yaml
from ray_al.core.plain import dump_yaml
from ray_al.core.section import Section, Seed
from ray_al.core.validation import validate

SPACES = ("grid", "choice", "range", "log_range", "int_range")


class Space(Section):
    """The values of one key: exactly one of the five."""

    grid: Annotated[tuple[Any, ...], Field(min_length=1)] | None = None
    choice: Annotated[tuple[Any, ...], Field(min_length=1)] | None = None
    range: tuple[float, float] | None = None
    log_range: tuple[float, float] | None = None
    int_range: tuple[int, int] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "Space":
        given = [kind for kind in SPACES if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"found {given or 'nothing'}; give exactly one of {', '.join(SPACES)}")
        if self.kind in ("grid", "choice"):
            repeated = [value for value in self.values if sum(value == other and type(value) is type(other) for other in self.values) > 1]
            if repeated:
                raise ValueError(f"{repeated[0]!r} stands there twice; keep one")
        else:
            low, high = self.values
            if not low < high or (self.kind == "log_range" and low <= 0):
                raise ValueError(
                    f"[{low}, {high}] is no {self.kind}; give a lower and an upper end" + (" above 0" if self.kind == "log_range" else "")
                )
        return self

    @property
    def kind(self) -> str:
        return next(kind for kind in SPACES if getattr(self, kind) is not None)

    @property
    def values(self) -> tuple[Any, ...]:
        """All values of a grid or choice, both ends of a range."""
        return tuple(getattr(self, self.kind))


def _space(value: Any) -> Any:
    """A plain list is a grid."""
    if isinstance(value, list | tuple):
        return {"grid": value}
    if not isinstance(value, Mapping):
        raise ValueError("give a list of values, or one of " + ", ".join(f"{{{kind}: […]}}" for kind in SPACES))
    return value


class SearchConfig(Section):
    """How settings are taken from the space; `trials` is their number (each is run with every seed)."""

    kind: Literal["grid", "random", "optuna"] = "grid"
    trials: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    seed: Seed = 0

    @model_validator(mode="after")
    def _number(self) -> "SearchConfig":
        if (self.kind == "grid") != (self.trials is None):
            raise ValueError(
                "trials: a grid is run whole, leave it out" if self.kind == "grid" else f"trials is missing; {self.kind} needs the number of settings"
            )
        return self


class SchedulerConfig(Section):
    """Stop what falls behind, at equal budget.

    Attributes:
        first: budget (count or share, in the runs' unit) of the first comparison.
        reduction: of `asha`: the next rung is at `reduction` times the budget, and 1/`reduction` of the trials go on.
        min_trials: of `median`: trials that must have reached a budget before one is stopped there.
    """

    kind: Literal["none", "asha", "median"] = "none"
    first: Amount | None = None
    reduction: Annotated[float, Field(gt=1, le=1e6)] = 2.0
    min_trials: Annotated[int, Field(ge=2, le=1_000_000)] = 3


class LimitsConfig(Section):
    at_once: Annotated[int, Field(ge=1, le=100_000)] | Literal["auto"] = "auto"
    hours: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Hours that one call of `ray-al sweep` may take, shared starts included; `--resume` has as many again."""
    labels: Annotated[int, Field(ge=1, le=2**62)] | None = None
    """New labels, in the runs' budget unit, that all runs of one call of `ray-al sweep` together may buy. A shared start counts once, and
    what earlier calls bought does not count. The call ends once so many are bought; `--resume` goes on and may buy as many again."""
    retries: Annotated[int, Field(ge=0, le=1000)] = 3
    """How often a trial whose process died goes on."""


class EndpointConfig(Section):
    """What a sweep is made to find out, said before its runs are made.

    Attributes:
        budgets: counts or shares, in the runs' unit; the endpoint of a run is the mean of its scores at them.
        measure: `final_miou` of the measured models, or `miou` of the models that choose.
        comparisons: pairs of names of settings, as `--dry-run` shows them. The first minus the second is tested,
            and Holm's correction counts these pairs alone.
    """

    budgets: Annotated[tuple[Amount, ...], Field(min_length=1)]
    measure: Literal["final_miou", "miou"] = "final_miou"
    comparisons: Annotated[tuple[tuple[str, str], ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _each_once(self) -> "EndpointConfig":
        if len(set(self.budgets)) != len(self.budgets):
            raise ValueError(f"budgets={list(self.budgets)} holds a budget twice; name each once")
        pairs = [frozenset(pair) for pair in self.comparisons]
        for pair, names in zip(pairs, self.comparisons, strict=True):
            if len(pair) == 1:
                raise ValueError(f"comparisons: {list(names)} compares a setting with itself; name two")
            if pairs.count(pair) > 1:
                raise ValueError(f"comparisons: {list(names)} stands there twice; name each pair once")
        return self


class SweepConfig(Section):
    """A sweep; `base` (a file) and `run` (values over it) make the configuration that `space` varies."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "sweep"
    base: Annotated[str, Field(min_length=1)] | None = None
    run: dict[str, Any] = Field(default_factory=dict)
    space: dict[str, Annotated[Space, BeforeValidator(_space)]] = Field(default_factory=dict)
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    reference: dict[str, Any] = Field(default_factory=lambda: {"strategy.score": "random", "strategy.batch.kind": "topk"})
    """Settings of the strategy that all are compared with; always in."""
    search: SearchConfig = SearchConfig()
    scheduler: SchedulerConfig = SchedulerConfig()
    limits: LimitsConfig = LimitsConfig()
    endpoint: EndpointConfig | None = None

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds):
            raise ValueError(f"{list(seeds)} holds a seed twice; the same seed gives the same run")
        return seeds

    @model_validator(mode="after")
    def _fits_together(self) -> "SweepConfig":
        sampled = [key for key, space in self.space.items() if space.kind != "grid"]
        gridded = [key for key, space in self.space.items() if space.kind == "grid"]
        if self.search.kind == "grid" and sampled:
            key = sampled[0]
            raise ValueError(f"space.{key}: search.kind=grid takes lists only, this is a {self.space[key].kind}; write a list, or search.kind=random")
        if self.search.kind == "optuna" and gridded:
            raise ValueError(f"space.{gridded[0]}: search.kind=optuna chooses itself; write {{choice: […]}}")
        if self.search.kind == "random" and not sampled:
            raise ValueError("search.kind=random: the space has nothing to draw from; give a choice or range, or search.kind=grid")
        if self.search.kind == "optuna" and not self.space:
            raise ValueError("search.kind=optuna: the space is empty; give a choice or range")
        for one in self.space:
            for other in self.space:
                if other.startswith(one + "."):
                    raise ValueError(f"space.{one} and space.{other}: one holds the other; vary one of them")
        if "seed" in self.space:
            raise ValueError("space.seed: seeds are not a setting; list them under `seeds`")
        return self

    def to_yaml(self) -> str:
        return dump_yaml(json.loads(self.model_dump_json(exclude_none=True)))


def load_sweep(path: str, overrides: Iterable[str] = ()) -> SweepConfig:
    """Read a sweep file; `run` of the result is the whole base configuration, with `overrides` (keys of a run) applied.

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
        apply_setting(base, ".".join(keys), value, folder=os.getcwd())
    if "seed" in base:
        del base["seed"]
    return sweep.model_copy(update={"base": None, "run": base})
