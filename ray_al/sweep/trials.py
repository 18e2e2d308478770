"""A trial: one run of a sweep, as it is planned and as it is stored."""

import hashlib
import json
from dataclasses import dataclass

from ray_al.core.config import RunConfig, parse_config, parse_yaml
from ray_al.core.errors import ConfigError
from ray_al.core.plain import dump_yaml
from ray_al.sweep.naming import Setting

KINDS: dict[str, type] = {
    "name": str,
    "group": str,
    "index": int,
    "seed": int,
    "setting": dict,
    "config": dict,
}
"""The keys of a stored trial, and what kind of value each has."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run of a sweep.

    Attributes:
        group: name of the setting; trials of one group differ in their seed only.
        index: number of the setting; 0 is the reference.
        setting: the keys that the space, or the reference, sets.
        config: the run's whole configuration.
    """

    name: str
    group: str
    index: int
    seed: int
    setting: Setting
    config: RunConfig

    def to_bytes(self) -> bytes:
        """Return the trial as YAML."""
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
        """Read a trial that `to_bytes` wrote.

        Args:
            source: place of the file, for messages.

        Raises:
            ConfigError: a key is missing, unknown, or has another kind of value.
        """
        values = parse_yaml(data, source=source)
        wrong = sorted(
            name for name, kind in KINDS.items() if not isinstance(values.get(name), kind)
        )
        if wrong or values.keys() - KINDS.keys():
            what = ", ".join(wrong) or "it has other keys too"
            raise ConfigError(
                f"{source}: not a trial of a sweep ({what}); restore the file from a copy"
            )
        config = parse_config(values.pop("config"), source=source)
        return Trial(config=config, **values)


def start_digest(config: RunConfig) -> str:
    """Return the name of the start that several runs share, from the start's configuration."""
    values = config.model_dump(mode="json", exclude={"name", "cluster", "tracking"})
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
