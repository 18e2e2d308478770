"""Parquet files from memory."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq


def read_parquet(data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """The table in the bytes of a Parquet file.

    Read by this thread alone: Arrow's own threads may still hold `data` when the process ends, ask for Python's lock to let go of it, and
    abort the process (exit code 134) after its work is done.
    """
    source = pa.BufferReader(data)
    return pq.read_table(
        source,
        columns=None if columns is None else list(columns),
        use_threads=False,
        pre_buffer=False,
    )
