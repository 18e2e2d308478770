"""Queries, and the labels that answer them. Costs are in the unit of the budget."""

from dataclasses import dataclass
from typing import ClassVar

from ray_al.core.types import FileRef, Refusal, RegionName
from ray_al.ledger.records.parts import Record


@dataclass(frozen=True, kw_only=True)
class QuerySelected(Record):
    """A cycle chose regions; their `cost` is reserved."""

    kind: ClassVar[str] = "query_selected"
    cycle: int
    query: FileRef
    num_regions: int
    num_pixels: int
    cost: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class LabelsRequested(Record):
    """Annotators were asked; `refused` are regions whose images turned out to be broken."""

    kind: ClassVar[str] = "labels_requested"
    cycle: int
    tasks: str
    num_tasks: int
    refused: tuple[Refusal, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LabelsReceived(Record):
    """Labels of the open query arrived.

    Attributes:
        part: the label part; None if no label could be used.
        num_images: images with at least one of these labels.
        corrected: regions with a label now that were refused before.
    """

    kind: ClassVar[str] = "labels_received"
    cycle: int
    part: FileRef | None
    num_regions: int
    cost: int
    num_pixels: int
    num_images: int | None = None
    clicks: int = 0
    refused: tuple[Refusal, ...]
    corrected: tuple[RegionName, ...] = ()
    seconds: float
    term: int


@dataclass(frozen=True, kw_only=True)
class CycleFilled(Record):
    """No region is left that a further query of `cycle` could pay for."""

    kind: ClassVar[str] = "cycle_filled"
    cycle: int


@dataclass(frozen=True, kw_only=True)
class QueryClosed(Record):
    """The open query takes no more labels; `refunded` units are free again."""

    kind: ClassVar[str] = "query_closed"
    cycle: int
    num_unanswered: int
    refunded: int
