"""Oracles and annotators: they turn a query into label parts."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What an annotator gave.

    Attributes:
        table: LABEL_SCHEMA, possibly empty and with further columns.
        refused: `{image_id, region, reason, final}`; `final` where no better answer can come.
    """

    table: pa.Table
    refused: tuple[dict[str, Any], ...] = ()


__all__ = ["Labels"]
