"""Results that outlive their run directories: a folder of small files that can be committed.

`sweep.yaml` is the sweep file as it was run, `settings.json` has the settings of its groups by
name. A run is two files below `runs/`: `NAME-seedN.csv` is its `curve.csv`, `NAME-seedN.json` holds
everything else that a comparison needs. No file names a place of the machine that made it: only the
last part of a path is kept.
"""

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ray_al.compare.run_result import RunResult
from ray_al.core.config import parse_yaml
from ray_al.core.errors import ConfigError
from ray_al.core.plain import dump_yaml
from ray_al.core.storage import Storage
from ray_al.core.validation import validate
from ray_al.report.curve import MEASURED_COLUMNS, curve_csv
from ray_al.sweep.config import SweepConfig
from ray_al.sweep.naming import Setting

RUNS, SETTINGS, FILE = "runs", "settings.json", "sweep.yaml"
Settings = Mapping[str, Setting]
KEPT = (
    "values",
    "recipe",
    "pool",
    "num_pixels",
    "num_images",
    "unit_total",
    "seconds",
    "validation",
)
"""Attributes of `RunResult` that are written as they are."""
NEEDED = {
    "visits",
    "label",
    "seed",
    "setting",
    "full",
    "code",
    "config_digest",
    "class_names",
    "class_pixels",
    "measured",
    *KEPT,
}
"""Keys of a run's JSON file."""


def write_results(
    runs: Sequence[RunResult], sweep: SweepConfig | None, settings: Settings, out: str
) -> list[str]:
    """Write the finished runs into the folder `out`, and return the names of the files.

    Older files of the same runs are replaced.

    Args:
        runs: as they were read, with all cycles and all measured models.
        settings: for all groups of the sweep.

    Raises:
        ConfigError: two runs would have the same name.
    """
    storage = Storage(out)
    contents: dict[str, bytes] = {}
    if sweep is not None:
        values = _without_places(json.loads(sweep.model_dump_json(exclude_none=True)))
        contents[FILE] = dump_yaml(values).encode()
        contents[SETTINGS] = _json(_without_places(settings))
    for run in runs:
        if not run.finished:
            continue
        stem = f"{RUNS}/{run.group}-seed{run.seed}"
        if f"{stem}.csv" in contents:
            raise ConfigError(
                f"{run.uri}: a second run of {run.group} with seed {run.seed}; give each once"
            )
        contents[f"{stem}.csv"] = curve_csv(run.rows, run.class_names).encode()
        contents[f"{stem}.json"] = _json(_facts(run, settings.get(run.group, {})))
    for name, content in contents.items():
        storage.replace(name, content)
    return sorted(contents)


def _json(values: Any) -> bytes:
    return (json.dumps(values, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _without_places(value: Any) -> Any:
    """Return plain values with every path or URI cut to its last part."""
    if isinstance(value, Mapping):
        return {key: _without_places(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_places(inner) for inner in value]
    if isinstance(value, str) and (value.startswith("/") or "://" in value):
        return os.path.basename(value.rstrip("/"))
    return value


def _facts(run: RunResult, setting: Mapping[str, Any]) -> dict[str, Any]:
    names = [f"iou_{name}" for name in run.class_names]
    measured = [
        {
            "cycle": row["cycle"],
            "budget": row["final_budget"],
            "miou": row["miou"],
            "pixel_accuracy": row["pixel_accuracy"],
            "iou": [row[name] for name in names],
        }
        for row in run.measured
    ]
    kept = {key: getattr(run, key) for key in KEPT}
    facts = {
        "label": run.group,
        "seed": run.seed,
        "setting": dict(setting),
        "full": run.full,
        "code": run.code,
        "config_digest": run.config_digest,
    }
    lists = {
        "visits": [row.get("labelled_visits") for row in run.rows],
        "class_names": list(run.class_names),
        "class_pixels": list(run.class_pixels),
        "measured": measured,
    }
    return dict(_without_places({**facts, **kept, **lists}))


def is_results(storage: Storage) -> bool:
    """Return whether a place is a folder of results."""
    return any(name.endswith(".json") for name in storage.list(RUNS))


def read_results(storage: Storage) -> tuple[SweepConfig | None, Settings, list[RunResult]]:
    """Read a folder of results.

    Returns:
        The sweep file, None if there is none; the settings of its groups; and the runs.

    Raises:
        ConfigError: a file is missing, or is not as it was written.
    """
    sweep = None
    if storage.exists(FILE):
        source = storage.uri(FILE)
        sweep = validate(SweepConfig, parse_yaml(storage.read(FILE), source=source), source=source)
    names = sorted(name for name in storage.list(RUNS) if name.endswith(".json"))
    runs = [_read(storage, name.removesuffix(".json")) for name in names]
    settings = _load(storage, SETTINGS) if storage.exists(SETTINGS) else {}
    return sweep, settings, runs


def _load(storage: Storage, name: str) -> dict[str, Any]:
    try:
        values = json.loads(storage.read(name))
    except ValueError as error:
        raise ConfigError(
            f"{storage.uri(name)}: is no JSON ({error}); restore the file from a copy"
        ) from None
    if not isinstance(values, dict):
        raise ConfigError(
            f"{storage.uri(name)}: holds no keys with values; restore the file from a copy"
        )
    return values


def _read(storage: Storage, stem: str) -> RunResult:
    facts = _load(storage, f"{RUNS}/{stem}.json")
    source = storage.uri(f"{RUNS}/{stem}")
    if missing := sorted(NEEDED - facts.keys()):
        raise ConfigError(
            f"{source}.json: {', '.join(missing)} missing; "
            "write the folder again with `ray-al compare --export`"
        )
    if not storage.exists(f"{RUNS}/{stem}.csv"):
        raise ConfigError(
            f"{source}.csv: is missing, while {stem}.json is there; restore it from a copy"
        )
    try:
        return _run(facts, _rows(storage.read(f"{RUNS}/{stem}.csv").decode()), storage.root, source)
    except (LookupError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{source}: not as it was written ({type(error).__name__}: {error}); "
            "restore it from a copy"
        ) from None


def _rows(text: str) -> tuple[dict[str, Any], ...]:
    return tuple(
        {key: _number(cell) for key, cell in row.items()}
        for row in csv.DictReader(io.StringIO(text))
    )


def _number(cell: str) -> int | float | None:
    if cell == "":
        return None
    return int(cell) if cell.lstrip("-").isdigit() else float(cell)


def _run(
    facts: Mapping[str, Any], rows: tuple[dict[str, Any], ...], root: str, source: str
) -> RunResult:
    rows = tuple(
        {**row, "labelled_visits": visits}
        for row, visits in zip(rows, facts["visits"], strict=True)
    )
    by_cycle = {row["cycle"]: row for row in rows}
    names = [f"iou_{name}" for name in facts["class_names"]]
    measured = [
        {
            **by_cycle[model["cycle"]],
            **dict(zip(names, model["iou"], strict=True)),
            "final_budget": model["budget"],
            "final_miou": model["miou"],
            "miou": model["miou"],
            "pixel_accuracy": model["pixel_accuracy"],
        }
        for model in facts["measured"]
    ]
    if rows and not set(MEASURED_COLUMNS) <= rows[0].keys():
        raise KeyError(f"columns {', '.join(MEASURED_COLUMNS)}")
    return RunResult(
        uri=f"{source}.csv",
        seed=facts["seed"],
        class_names=tuple(facts["class_names"]),
        class_pixels=tuple(facts["class_pixels"]),
        rows=rows,
        measured=tuple(measured),
        finished=True,
        full=facts["full"],
        code=facts["code"],
        config_digest=facts["config_digest"],
        sweep=root,
        group=facts["label"],
        **{key: facts[key] for key in KEPT},
    )
