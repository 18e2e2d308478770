"""A run's configuration. Its ledger holds it; `config.yaml` is the copy for people and scripts, and must say the same."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ray_al.core.config import RunConfig, parse_config, parse_yaml
from ray_al.core.errors import ConfigError
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.ledger.events import Event
from ray_al.ledger.journal import Journal

CONFIG = "config.yaml"
RECORDING = ("run_created", "config_changed")
"""Events that record the configuration. The first ones of earlier versions hold its digest alone."""


def config_facts(text: str) -> dict[str, Any]:
    """What an event records of the configuration `text`."""
    return {"config": FileRef.of(CONFIG, text.encode()).as_dict(), "config_yaml": text}


def read_config(storage: Storage, events: Sequence[Event] | None = None) -> RunConfig:
    """The resolved configuration of a run.

    Args:
        events: of the run's journal, where the caller has read it.

    Raises:
        ConfigError: `config.yaml` says something else than the ledger, or the directory is no run's.
        StorageError: `config.yaml` is missing, and the ledger, an earlier version's, has but its digest.
    """
    records = recorded(Journal(storage).events if events is None else events)
    if not records:
        raise ConfigError(
            f"{storage.root}: not a run directory (its journal is empty); give one that `ray-al run` made"
        )
    source, text = storage.uri(CONFIG), records[-1].get("config_yaml")
    if text is None or not is_left_behind(storage, records):
        data = storage.read(CONFIG)
        if FileRef.of(CONFIG, data) != FileRef.from_dict(records[-1]["config"]):
            _refuse_changes(source, data, text)
        text = text or data
    return parse_config(parse_yaml(text, source=source), source=source)


def is_left_behind(storage: Storage, records: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a session ended between recording the configuration and writing `config.yaml`: it is missing, or says what was recorded before."""
    data = storage.read_if_there(CONFIG)
    if data is None:
        return True
    there = FileRef.of(CONFIG, data)
    return there != FileRef.from_dict(records[-1]["config"]) and any(
        there == FileRef.from_dict(record["config"]) for record in records[:-1]
    )


def recorded(events: Sequence[Event]) -> list[Mapping[str, Any]]:
    """The data of the events that record the configuration, the one that counts last."""
    return [event.data for event in events if event.kind in RECORDING]


def _refuse_changes(source: str, data: bytes, text: str | None) -> None:
    """Refuse a file that says something else than `text`; spaces and order may change."""
    remedy = "put it back as it was; settings that may change are changed by `ray-al resume RUN_DIR --set KEY=VALUE`, others need a new run"
    if text is None:
        raise ConfigError(
            f"{source}: has changed since the run was made (its ledger holds another digest); {remedy}"
        )
    try:
        changes = list(
            differences(parse_yaml(text, source=source), parse_yaml(data, source=source))
        )
    except ConfigError as error:
        raise ConfigError(f"{error}; {remedy}") from None
    if changes:
        listed = "; ".join(
            f"{key} is {_shown(now)}, the ledger recorded {_shown(before)}"
            for key, before, now in changes[:10]
        )
        raise ConfigError(f"{source}: has changed since the run recorded it: {listed}; {remedy}")


MISSING = object()


def _shown(value: Any) -> str:
    return "missing" if value is MISSING else repr(value)


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, value before, value after) of what differs; `MISSING` where a key is not there."""
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key, MISSING), after.get(key, MISSING)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, f"{prefix}{key}.")
        elif old is MISSING or new is MISSING or old != new:
            yield f"{prefix}{key}", old, new
