"""The pool as bitmaps over the manifest: 10 million images of 25 regions are 31 MB."""

import io
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.ledger import State

MANIFEST = "manifest.parquet"


def read_table(storage: Storage, ref: FileRef, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file that an event names."""
    return pq.read_table(io.BytesIO(storage.read_ref(ref)), columns=columns)


def table_bytes(table: pa.Table) -> bytes:
    """`table` as Parquet, the same bytes for the same table."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


class Pool:
    """Which regions were chosen, and which images labelled. Rebuilt from the ledger whenever a host starts."""

    def __init__(self, storage: Storage, state: State) -> None:
        self.manifest = read_table(storage, FileRef.from_dict(state.created["manifest"]))
        self.num_regions = self.manifest.column("num_regions").to_numpy()
        self.offsets = np.concatenate([[0], np.cumsum(self.num_regions, dtype=np.int64)])
        self.index_of = {name: i for i, name in enumerate(self.manifest.column("image_id").to_pylist())}
        self.chosen = np.zeros(self.offsets[-1], dtype=bool)
        self.labelled_images = np.zeros(len(self.manifest), dtype=bool)
        for query in state.queries:
            self.choose(read_table(storage, query.file, ["image_index", "region"]))
        for part in state.label_parts:
            self.label(read_table(storage, part, ["image_index"]))
        self.quarantine(state.quarantined)

    def choose(self, table: pa.Table) -> None:
        """Never choose these regions again."""
        self.chosen[self.offsets[table.column("image_index").to_numpy()] + table.column("region").to_numpy()] = True

    def label(self, table: pa.Table) -> None:
        self.labelled_images[table.column("image_index").to_numpy()] = True

    def quarantine(self, image_ids: Iterable[str]) -> None:
        """Take broken images out of what may be chosen."""
        for image_id in image_ids:
            index = self.index_of[image_id]
            self.chosen[self.offsets[index] : self.offsets[index + 1]] = True

    @property
    def remaining(self) -> np.ndarray:
        """bool (num_regions of the pool,): what may still be chosen."""
        return ~self.chosen
