"""What the values in the data of events must be: a journal that was damaged is found when it is read, not where its values are used."""

from collections.abc import Mapping
from typing import Any

from ray_al.core.families.units import UNITS
from ray_al.core.family import Family

Kind = Any
"""A type (or union of types); a family: the name of one of its kinds, or package.module:Class; a list of one kind: a list of such values;
a mapping: a mapping with at least these keys; a tuple: any of its kinds."""

NUMBER = int | float
FILE: Kind = {"path": str, "size": int, "sha256": str}
MAYBE_FILE: Kind = (None, FILE)
PARTS: Kind = [{"shard": int, "file": MAYBE_FILE}]

KINDS: Mapping[str, Kind] = {
    "name": str,
    "config": FILE,
    "manifest": FILE,
    "num_images": int,
    "num_regions": int,
    "num_pixels": int,
    "unit": UNITS,
    "amount": int,
    "class_names": [str],
    "colors": [[int]],
    "pool": str,
    "term": int,
    "host": str,
    "pid": int,
    "code": str,
    "images_quarantined.images": [{"image_id": str, "error": str}],
    "parts": PARTS,
    "shards_embedded.parts": [{"shard": int, "name": str}],
    "pool_embedded.views": [int],
    "pool_embedded.num_bytes": int,
    "features_outdated.shards": [int],
    "seconds": NUMBER,
    "cycle": int,
    "query": FILE,
    "cost": int,
    "tasks": str,
    "num_tasks": int,
    "part": MAYBE_FILE,
    "clicks": int,
    "labels_received.refused": [{"image_id": str, "region": int, "reason": str, "final": bool}],
    "num_unanswered": int,
    "refunded": int,
    "class_pixels": [NUMBER],
    "num_steps": int,
    "train_seconds": NUMBER,
    "evaluate_seconds": NUMBER,
    "member": int,
    "repeat": int,
    "budget": int,
    "mious": [NUMBER],
    "miou": NUMBER,
    "spread": (None, NUMBER),
    "model_measured.metrics": {},
    "file": FILE,
    "num_picked": int,
    "num_check": int,
    "recall": (None, NUMBER),
    "reason": str,
    "cycle_trained.metrics": {},
    "files": {},
    "cycle_trained.labelled": {"regions": int, "pixels": int, "images": int, "cost": int},
}
"""By the key, or by event and key where the key alone does not say it; keys that are not named here may hold anything."""


def problem(event: str, data: Mapping[str, Any]) -> str | None:
    """What is wrong with the data of an `event`, if anything is."""
    found = (_problem(value, _kind_of(event, key), key) for key, value in data.items())
    return next((text for text in found if text), None) or _trained_problem(event, data)


def _kind_of(event: str, key: str) -> Kind:
    return KINDS.get(f"{event}.{key}", KINDS.get(key, object))


def _trained_problem(event: str, data: Mapping[str, Any]) -> str | None:
    """Of the mappings whose keys are names: files by name, metrics by split."""
    checks: list[tuple[str, Any, Kind]] = []
    if event in ("cycle_trained", "member_trained"):
        checks = [
            ("files", data["files"], {"model.pt": FILE}),
            *((f"files.{name}", ref, FILE) for name, ref in data["files"].items()),
        ]
    if event in ("cycle_trained", "model_measured"):
        metric: Kind = {"miou": NUMBER, "pixel_accuracy": NUMBER, "iou": [(None, NUMBER)]}
        needed: Kind = {"val": metric} if data["cycle"] >= 0 else {}
        checks += [
            ("metrics", data["metrics"], needed),
            *((f"metrics.{split}", values, metric) for split, values in data["metrics"].items()),
        ]
    return next((text for key, value, kind in checks if (text := _problem(value, kind, key))), None)


def _problem(value: Any, kind: Kind, key: str) -> str | None:
    if isinstance(kind, tuple):
        problems = [_problem(value, one, key) for one in kind]
        return None if None in problems else problems[-1]
    if isinstance(kind, Family):
        is_kind = isinstance(value, str) and (value in kind.kinds or ":" in value)
        return (
            None
            if is_kind
            else f"{key} is {_shown(value)}, not one of {', '.join(sorted(kind.kinds))}"
        )
    if isinstance(kind, list):
        if not isinstance(value, list | tuple):
            return f"{key} is {_shown(value)}, not a list"
        return next(
            (
                text
                for index, one in enumerate(value)
                if (text := _problem(one, kind[0], f"{key}[{index}]"))
            ),
            None,
        )
    if isinstance(kind, Mapping):
        if not isinstance(value, Mapping):
            return f"{key} is {_shown(value)}, not keys and values"
        missing = kind.keys() - value.keys()
        if missing:
            return f"{key} lacks {sorted(missing)}"
        return next(
            (
                text
                for name, inner in kind.items()
                if (text := _problem(value[name], inner, f"{key}.{name}"))
            ),
            None,
        )
    if kind is None:
        return None if value is None else f"{key} is {_shown(value)}"
    fits = isinstance(value, kind) and (kind in (bool, object) or not isinstance(value, bool))
    return None if fits else f"{key} is {_shown(value)}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
