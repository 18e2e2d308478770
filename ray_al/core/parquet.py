"""Parquet files from memory."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq


def read_parquet(data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the table in the bytes of a Parquet file.

    Only this thread reads: Arrow's own threads may still hold `data` when the process ends, ask for
    Python's lock to release it, and abort the process (exit code 134) after its work is done.

    Args:
        data: the file.
        columns: names of the columns to read; None reads all.
    """
    source = pa.BufferReader(data)
    return pq.read_table(
        source,
        columns=None if columns is None else list(columns),
        use_threads=False,
        pre_buffer=False,
    )
