"""The configuration of a run.

The journal holds it; `config.yaml` is the copy for people and scripts, and must say the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ray_al.core.config import RunConfig, parse_config, parse_yaml
from ray_al.core.errors import ConfigError
from ray_al.core.run_dir import RunDir
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.ledger.events import Event
from ray_al.ledger.journal import Journal
from ray_al.ledger.records import ConfigChanged, RunCreated, RunExtended

Configured = RunCreated | ConfigChanged | RunExtended
"""The records that hold a configuration."""
MISSING = object()
"""Stands for the value of a key that is not there."""

SHOWN_CHANGES = 10
"""Changed keys that a message lists."""


def config_facts(text: str) -> dict[str, Any]:
    """Return the fields with which a record holds the configuration `text`."""
    return {"config": FileRef.of(RunDir.CONFIG, text.encode()), "config_yaml": text}


def read_config(storage: Storage, events: Sequence[Event] | None = None) -> RunConfig:
    """Read the resolved configuration of a run.

    Args:
        events: the run's journal, if the caller has read it already.

    Raises:
        ConfigError: `config.yaml` differs from the journal, or the directory holds no run.
        StorageError: `config.yaml` is missing, and the journal, written by an earlier version,
            has only its digest.
    """
    records = recorded(Journal(storage).events if events is None else events)
    if not records:
        raise ConfigError(
            f"{storage.root}: not a run directory (its journal is empty); give one that "
            "`ray-al run` made"
        )
    source, text = storage.uri(RunDir.CONFIG), records[-1].config_yaml
    if text is None or not is_left_behind(storage, records):
        data = storage.read(RunDir.CONFIG)
        if FileRef.of(RunDir.CONFIG, data) != records[-1].config:
            _refuse_changes(source, data, text)
        return parse_config(parse_yaml(text or data, source=source), source=source)
    return parse_config(parse_yaml(text, source=source), source=source)


def is_left_behind(storage: Storage, records: Sequence[Configured]) -> bool:
    """Return whether `config.yaml` is missing or holds the settings of an earlier record.

    It does after a session that recorded other settings and ended before it wrote the file.

    Args:
        records: as `recorded` returns them.
    """
    data = storage.read_if_there(RunDir.CONFIG)
    if data is None:
        return True
    there = FileRef.of(RunDir.CONFIG, data)
    return there != records[-1].config and any(there == record.config for record in records[:-1])


def recorded(events: Sequence[Event]) -> list[Configured]:
    """Return the records of the configuration; the last one holds.

    Those of earlier versions have its digest but not its text.
    """
    return [event.record for event in events if isinstance(event.record, Configured)]


def _refuse_changes(source: str, data: bytes, text: str | None) -> None:
    """Refuse a file whose settings differ from those of `text`; spaces and order may differ."""
    remedy = (
        "put it back as it was; settings that may change are changed by "
        "`ray-al resume RUN_DIR --set KEY=VALUE`, others need a new run"
    )
    if text is None:
        raise ConfigError(
            f"{source}: has changed since the run was made (its ledger holds another digest); "
            f"{remedy}"
        )
    try:
        before, after = (parse_yaml(content, source=source) for content in (text, data))
    except ConfigError as error:
        raise ConfigError(f"{error}; {remedy}") from None
    changes = [
        f"{key} is {_shown(now)}, the ledger recorded {_shown(then)}"
        for key, then, now in differences(before, after)
    ]
    if changes:
        listed = "; ".join(changes[:SHOWN_CHANGES])
        raise ConfigError(f"{source}: has changed since the run recorded it: {listed}; {remedy}")


def _shown(value: object) -> str:
    return "missing" if value is MISSING else repr(value)


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yield the dotted key, the value before and the value after of each setting that differs.

    A key that is not there has the value `MISSING`.
    """
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key, MISSING), after.get(key, MISSING)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, f"{prefix}{key}.")
        elif old is MISSING or new is MISSING or old != new:
            yield f"{prefix}{key}", old, new
