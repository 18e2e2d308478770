"""The Python door to ray_al: make, resume and read runs, sweeps and comparisons.

`import ray_al` exports these names. The commands of `ray-al` call the same functions. A whole run
on synthetic images, in this process:

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> config = load_config({
    ...     "data": {"dataset": "synthetic", "root": f"{folder.name}/data",
    ...              "num_images": 4, "image_size": [32, 48]},
    ...     "regions": {"rows": 2, "columns": 2},
    ...     "train": {"steps": 2, "batch_size": 2, "workers": 0},
    ...     "scoring": {"workers": 0, "batch_size": 2, "precision": "fp32"},
    ...     "budget": {"start": 2, "per_cycle": 2, "amount": 4},
    ...     "cluster": {"host": "process"},
    ... })
    >>> first = run(config, f"{folder.name}/first")
    >>> first.outcome.kind
    'finished'

A run is read while it is made as well as afterwards. Each property reads the directory anew:

    >>> opened = open_run(first.uri)
    >>> [(row["cycle"], row["labelled_regions"]) for row in opened.curve]
    [(0, 2), (1, 4)]
    >>> opened.queries.select(["cycle", "region"]).num_rows
    4
    >>> opened.state.spent, opened.state.finished is not None
    (4, True)

Its model predicts other images, at their own size:

    >>> import numpy
    >>> [ids.shape for ids in opened.predict([numpy.zeros((40, 60, 3), dtype=numpy.uint8)])]
    [(40, 60)]
    >>> facts = predict_images(first.uri, [f"{folder.name}/data/val"], f"{folder.name}/predictions")
    >>> facts["predicted"], facts["refused"]
    (4, [])

Functions import at their call, not above, what loads torch or Ray, which takes seconds: reading a
run needs neither.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ray_al.directories import Run, Sweep, check_output, extend, open_run, open_writable_run
from ray_al.taken import export_model, predict_images

if TYPE_CHECKING:
    from ray_al.compare.costs import CostModel
    from ray_al.core.config import RunConfig
    from ray_al.sweep.config import SweepConfig

__all__ = [
    "Comparison",
    "Run",
    "Sweep",
    "compare_runs",
    "export_model",
    "extend",
    "load_config",
    "load_sweep",
    "new_run",
    "new_sweep",
    "open_run",
    "predict_images",
    "resume",
    "resume_sweep",
    "run",
    "run_sweep",
]

OnProgress = Callable[[str], None]
"""Receives one line about the progress of a run or sweep, several times a second."""


def _never() -> bool:
    return False


def _ignore(line: str) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison.

    Attributes:
        facts: all numbers, ready for JSON.
        text: the tables and sentences that `ray-al compare` prints.
    """

    facts: dict[str, Any]
    text: str


def load_config(
    source: "str | os.PathLike[str] | Mapping[str, Any]", overrides: Sequence[str] = ()
) -> "RunConfig":
    """Return the checked configuration of a run.

    Args:
        source: the path of a YAML file, or its keys and values; keys may be dotted. Relative paths
            inside a file start at its folder, those in a mapping at the working directory.
        overrides: texts such as `train.steps=100`, as for `--set`.

    Raises:
        ConfigError: naming the file or key, the value seen and the remedy.
    """
    from ray_al.core import config

    if not isinstance(source, Mapping):
        return config.load_config(os.fspath(source), overrides)
    values: dict[str, Any] = {}
    for key, value in source.items():
        config.apply_setting(values, key, value, folder=os.getcwd())
    for override in overrides:
        keys, value = config.parse_override(override)
        config.apply_setting(values, ".".join(keys), value, folder=os.getcwd())
    return config.parse_config(values, source="configuration")


@contextmanager
def new_run(config: "RunConfig", out: str | None = None) -> Iterator[str]:
    """Check everything, create a run directory and yield its path.

    Ray starts meanwhile if the run needs it, and the process stays connected to it inside.

    Args:
        out: where the run is written; a new path or URI. None: below `$RAY_AL_RUNS` or `./runs`.

    Raises:
        ConfigError: something cannot work; nothing was written.
    """
    from ray_al.driver.checks import check_places
    from ray_al.driver.cluster import connection
    from ray_al.driver.create import create_run, default_run_uri

    out = out or default_run_uri(config.name)
    check_places(config, out)
    with connection() as link:
        yield create_run(config, out, prepare=link.start)


def run(
    config: "RunConfig",
    out: str | None = None,
    *,
    should_stop: Callable[[], bool] = _never,
    on_progress: OnProgress = _ignore,
) -> Run:
    """Run active learning to its end, or until it waits for labels.

    Args:
        out: where the run is written; a new path or URI. None: below `$RAY_AL_RUNS` or `./runs`.
        should_stop: called several times a second; True ends the run cleanly between two steps.
        on_progress: receives one line about the progress, several times a second.

    Raises:
        ConfigError: something cannot work; nothing was written.
        RayALError: the run failed; it can be resumed.
    """
    with new_run(config, out) as run_dir:
        return resume(run_dir, should_stop=should_stop, on_progress=on_progress)


def resume(
    run_dir: str,
    overrides: Sequence[str] = (),
    *,
    should_stop: Callable[[], bool] = _never,
    on_progress: OnProgress = _ignore,
) -> Run:
    """Continue a run to its end, or until it waits for labels.

    Args:
        overrides: settings to change first, such as `data.root=/mnt/camvid`; only those that
            change where the run computes and reads, not its result.
        should_stop: called several times a second; True ends the run cleanly between two steps.
        on_progress: receives one line about the progress, several times a second. A line that ends
            in a line break is said once, and is meant to stay on a terminal.

    Raises:
        ConfigError: it is no run directory, or a setting cannot change.
        RunHeldError: another process drives the run.
        RayALError: the run failed; it can be resumed.
    """
    from ray_al.driver.host import run as host_run
    from ray_al.driver.settings import change_settings
    from ray_al.driver.status import ProgressTeller

    opened = open_writable_run(run_dir)
    if overrides:
        change_settings(run_dir, overrides)
    storage = opened.storage
    outcome = host_run(
        run_dir,
        should_stop=should_stop,
        on_poll=ProgressTeller(storage, on_progress),
    )
    return replace(opened, outcome=outcome)


def load_sweep(file: "str | os.PathLike[str]", overrides: Sequence[str] = ()) -> "SweepConfig":
    """Return the checked configuration of a sweep.

    Args:
        file: the path of a YAML file.
        overrides: settings of its runs, such as `data.root=/data/camvid`.

    Raises:
        ConfigError: naming the file or key, the value seen and the remedy.
    """
    from ray_al.sweep.config import load_sweep as load

    return load(os.fspath(file), overrides)


def new_sweep(config: "SweepConfig", out: str | None = None, *, only: Sequence[str] = ()) -> str:
    """Check every combination, create a sweep directory and return its path.

    Args:
        only: names that `resume_sweep` will get, to be checked as well.

    Raises:
        ConfigError: something cannot work; nothing was written.
    """
    from ray_al.driver.create import default_run_uri
    from ray_al.sweep.create import create_sweep

    return create_sweep(config, out or default_run_uri(config.name), only)


def run_sweep(
    config: "SweepConfig",
    out: str | None = None,
    *,
    only: Sequence[str] = (),
    should_stop: Callable[[], bool] = _never,
    on_progress: OnProgress = _ignore,
) -> Sweep:
    """Run every setting of a sweep with every seed, on Ray Tune.

    Args:
        out: where the sweep is written; a new path or URI. None: below `$RAY_AL_RUNS` or `./runs`.
        only: see `resume_sweep`.
        should_stop: called several times a second; True ends the sweep cleanly.
        on_progress: receives one line about the progress.

    Raises:
        ConfigError: something cannot work; nothing was written.
    """
    sweep_dir = new_sweep(config, out, only=only)
    return resume_sweep(sweep_dir, only=only, should_stop=should_stop, on_progress=on_progress)


def resume_sweep(
    sweep_dir: str,
    *,
    only: Sequence[str] = (),
    should_stop: Callable[[], bool] = _never,
    on_progress: OnProgress = _ignore,
) -> Sweep:
    """Continue a sweep from the journals of its runs.

    Args:
        only: names of the trials or settings to run, such as `random` or `*-seed1?`; the others
            wait for another call. Empty: all.
        should_stop: called several times a second; True ends the sweep cleanly.
        on_progress: receives one line about the progress.

    Raises:
        ConfigError: it is no sweep directory, `only` names no trial, or a run does not fit into the
            cluster.
        RunHeldError: another process drives the sweep.
    """
    from ray_al.sweep.run import run_sweep as tune
    from ray_al.sweep.table import progress_line

    is_complete = tune(
        sweep_dir,
        only=only,
        show=lambda progress: on_progress(progress_line(progress)),
        should_stop=should_stop,
    )
    return Sweep(sweep_dir, is_complete)


def compare_runs(
    places: Sequence[str],
    out: str | None = None,
    *,
    export: str | None = None,
    measure: str | None = None,
    at: Sequence[float] = (),
    reference: str | None = None,
    allow: Sequence[str] = (),
    by: str = "budget",
    costs: "CostModel | None" = None,
) -> Comparison:
    """Compare strategies over seeds, and write the page, the tables and the pictures.

    Args:
        places: directories of runs, sweeps, or exported results.
        out: folder for the comparison; None compares nothing, and only exports.
        export: folder for the finished runs as small files, which `places` may name.
        measure: `miou` of the models that choose, or `final_miou` of the measured models; None
            for the latter if every run has it.
        at: shares of the pool at which mIoU is given.
        reference: label of the strategy that labels are saved against; None for the random one.
        allow: configuration keys of the recipe that may differ between runs.
        by: `budget` compares at equal budgets, `cost` at equal shares of the full score.
        costs: seconds that people need per image, region, class and click; None for the defaults.

    Raises:
        ConfigError: a place, a key or a folder cannot be used, or the runs have nothing in common.
    """
    from ray_al.compare.costs import CostModel
    from ray_al.compare.places import Wanted, compare_places
    from ray_al.core.config import RunConfig
    from ray_al.core.validation import check_key

    for folder, name in ((out, "--out"), (export, "--export")):
        if folder is not None:
            check_output(folder, name)
    for key in allow:
        recipe_key = key.removeprefix("final.") if key.startswith("final.train.") else key
        check_key(RunConfig, recipe_key, name="--allow")
    wanted = Wanted(
        measure=measure,
        at=tuple(at),
        reference=reference,
        allow=tuple(allow),
        by=by,
        costs=costs or CostModel(),
    )
    facts, text = compare_places(places, wanted, out=out, export=export)
    return Comparison(facts, text)
