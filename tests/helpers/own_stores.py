"""A store of features as a user writes it: a dictionary of this process."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from ray_al.core.variants import Store
from ray_al.features.store import RecordStore


class ProcessMemory(RecordStore):
    """Keeps shards in a dictionary."""

    limit_bytes = 10**9

    def __init__(self) -> None:
        self.shards: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def read(
        self, name: str, rows: Sequence[int], num_values: int
    ) -> list[np.ndarray | None] | None:
        """As `RecordStore.read`."""
        if name not in self.shards:
            return None
        records, usable = self.shards[name]
        return [records[row] if usable[row] else None for row in rows]

    def write(self, name: str, records: np.ndarray, usable: np.ndarray) -> None:
        """As `RecordStore.write`."""
        self.shards[name] = records.copy(), usable.copy()

    def names(self, folder: str) -> set[str]:
        """As `RecordStore.names`."""
        return {name for name in self.shards if name.startswith(f"{folder}/")}


OPEN = ProcessMemory()


class OwnStore(Store):
    """Keeps the features of all runs of this process in one dictionary."""

    kind: Literal["helpers.own_stores:OwnStore"] = "helpers.own_stores:OwnStore"

    def open(self, run_uri: str) -> RecordStore:
        """As `Store.open`."""
        return OPEN
