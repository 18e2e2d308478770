"""Writing the files of a comparison into a folder."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ray_al.core.storage import Storage
from ray_al.driver.lease import STALE_S, Lease

if TYPE_CHECKING:
    from matplotlib.figure import Figure


LEASE = "compare.lease.json"
PNG_DPI = 160


def write_files(storage: Storage, contents: Mapping[str, bytes]) -> None:
    """Write all files; of two processes, one writes after the other, so files never mix."""
    lease = Lease(storage, LEASE, held="writes a comparison there")
    with lease.acquire(patience_s=2 * STALE_S):
        for name, data in contents.items():
            storage.replace(name, data)


def png(figure: "Figure") -> bytes:
    """Return a matplotlib figure as the content of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PNG_DPI)
    return buffer.getvalue()


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV, with floats to six significant digits.

    Columns are the keys of all rows, in the order in which they first occur.
    """
    buffer = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(buffer, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _cell(value) for key, value in row.items()})
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
