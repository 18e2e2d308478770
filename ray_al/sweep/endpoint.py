"""The endpoint of a sweep: what its file names before any run is made."""

from collections.abc import Mapping, Sequence

from ray_al.core.errors import ConfigError
from ray_al.sweep.config import EndpointConfig, SweepConfig
from ray_al.sweep.naming import Setting, group_label
from ray_al.sweep.trials import Trial


def check_endpoint(sweep: SweepConfig, trials: Sequence[Trial]) -> None:
    """Refuse an endpoint that the planned runs can never give.

    Raises:
        ConfigError: a comparison names an unknown setting, or a budget at which a named setting
            measures no models.
    """
    if sweep.endpoint is None:
        return
    by_group: dict[str, Trial] = {}
    for trial in trials:
        by_group.setdefault(trial.group, trial)
    settings = {group: trial.setting for group, trial in by_group.items()}
    source = f"sweep {sweep.name}, endpoint"
    names = {
        resolve(name, settings, source=source)
        for pair in sweep.endpoint.comparisons
        for name in pair
    }
    if sweep.endpoint.measure == "final_miou":
        for group in sorted(names):
            _check_measured(sweep.endpoint, by_group[group], source)


def _check_measured(endpoint: EndpointConfig, trial: Trial, source: str) -> None:
    """Refuse a budget of the endpoint at which a trial measures no models."""
    measured = trial.config.final.budgets
    written = [(type(budget), budget) for budget in measured]  # 1 is one unit, 1.0 is 100 %
    for budget in endpoint.budgets:
        if (type(budget), budget) not in written:
            raise ConfigError(
                f"{source}.budgets: {budget_text(budget)} is none of final.budgets of "
                f"{trial.group}, which are {', '.join(map(budget_text, measured)) or 'none'}; "
                "add it there as it is written here, or leave it out"
            )


def resolve(name: str, settings: Mapping[str, Setting], *, source: str) -> str:
    """Return the group that a comparison means by `name`.

    Args:
        name: the group's own name, or the label that comparisons give it.
        settings: the setting of each group.
        source: sweep and section, for messages.

    Raises:
        ConfigError: no group or several have that name.
    """
    if name in settings:
        return name
    found = [group for group, setting in settings.items() if group_label(setting) == name]
    if len(found) == 1:
        return found[0]
    problem = "several settings have that name" if found else "no setting has that name"
    raise ConfigError(f"{source}.comparisons: {name!r}: {problem}; there are {', '.join(settings)}")


def budget_text(budget: int | float) -> str:
    """Return a budget as people write it: `2 %`, or a count."""
    return str(budget) if isinstance(budget, int) else f"{100 * budget:.10g} %"


def endpoint_lines(sweep: SweepConfig, trials: Sequence[Trial]) -> list[str]:
    """Return the endpoint, and the names that it may use, as `--dry-run` prints them."""
    groups = list(dict.fromkeys(trial.group for trial in trials))
    lines = [f"settings: {', '.join(groups)}"]
    if sweep.endpoint is None:
        return [*lines, "endpoint: none is named"]
    budgets = ", ".join(map(budget_text, sweep.endpoint.budgets))
    seeds = ", ".join(map(str, sweep.seeds))
    lines.append(f"endpoint: mean {sweep.endpoint.measure} at {budgets}; seeds {seeds}")
    pairs = [f"{strategy} - {other}" for strategy, other in sweep.endpoint.comparisons]
    lines += [f"compared: {pair}" for pair in pairs]
    return [*lines, f"p-values are corrected by Holm over these {len(pairs)} comparisons"]
