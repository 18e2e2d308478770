"""Say what the values of masks mean."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ray_al.core.config.mask_values import Value
from ray_al.core.errors import DataError
from ray_al.core.families.layouts import Colors, MaskSource
from ray_al.core.types import IGNORE_INDEX
from ray_al.datasets.mask_advice import advise
from ray_al.datasets.strips import row_strips, strips_of


class UnknownValuesError(DataError):
    """A mask with values of which nothing is known.

    Args:
        seen: which file holds which value on how many pixels.
        values: all values of the file, known ones included.
        remedy: what to do about this file.
    """

    def __init__(self, seen: str, values: Iterable[Value], remedy: str) -> None:
        super().__init__(seen, tuple(values), remedy)
        self.seen = seen
        self.values = tuple(values)
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.seen}; {self.remedy}"


@dataclass(frozen=True, kw_only=True)
class MaskDecoder:
    """Says what the values of a mask mean.

    Attributes:
        num_classes: class ids are 0 to num_classes - 1.
        encoding: `ids`, or `colors` by the table `colors`.
        colors: the colour of each number, from 0.
        ignore_ids: numbers in the files that mean "no label", in addition to 255.
        id_map: from the numbers in the files to class ids, if they differ; a number that is missing
            in it is unknown.
        nearest_color: whether to take the nearest colour of the table (lossy or smooth masks).
        checks_palette: whether the colours of an indexed picture must not contradict `colors`.
        whole: whether an unknown value outside the box that is read is refused, too.
        source: reads masks that are no files of their own; None if each is a file.
        is_table: whether the settings say what each number means, so that 255 is one like others.
        class_names: of the classes that are learnt, by id, for messages.
        known: what settings say of some values, for messages.
    """

    num_classes: int
    encoding: str = "ids"
    colors: Colors = ()
    ignore_ids: tuple[int, ...] = ()
    id_map: Mapping[int, int] | None = None
    nearest_color: bool = False
    checks_palette: bool = False
    whole: bool = False
    source: MaskSource | None = None
    is_table: bool = False
    class_names: tuple[str, ...] = ()
    known: Mapping[Value, str] = field(default_factory=dict)

    def class_of(self, number: int) -> int | None:
        """Return the class id of a number in a file, 255 for "no label", None if it is unknown."""
        if number in self.ignore_ids or (number == IGNORE_INDEX and not self.is_table):
            return IGNORE_INDEX
        if self.id_map is not None:
            return self.id_map.get(number)
        return number if 0 <= number < self.num_classes else None

    def value_of(self, number: int) -> Value:
        """Return what stands in files for a number: the number, or its colour."""
        has_color = self.encoding == "colors" and number < len(self.colors)
        return self.colors[number] if has_color else number

    def shown_class(self, class_id: int) -> str:
        """Return the name of a class, or its id if no name is known, for messages."""
        if class_id == IGNORE_INDEX:
            return "'no label'"
        named = class_id < len(self.class_names)
        return repr(self.class_names[class_id]) if named else f"class {class_id}"

    def advice(self, values: Iterable[Value]) -> str:
        """Return the remedy for masks that hold these values, some of them unknown."""
        values = list(values)
        remedy = advise(values, self.class_names, self.known)
        if self.nearest_color or not any(isinstance(value, tuple) for value in values):
            return remedy
        return (
            f"{remedy}; if the masks have smooth borders between the colours of classes, give "
            "those colours and set data.nearest_color=true"
        )


@dataclass(frozen=True, kw_only=True)
class DecodedMask:
    """A mask as class ids.

    Attributes:
        ids: uint8 (H, W), 255 for no label.
        numbers: those in the file.
        void_numbers: those of them that became 255.
    """

    ids: np.ndarray
    numbers: frozenset[int]
    void_numbers: frozenset[int]


def count_values(values: np.ndarray) -> dict[int, int]:
    """Return how often each whole number occurs, ascending by number."""
    if values.ndim < 2:
        values = values.reshape(-1, 1)
    if values.dtype == np.uint8:
        counts = np.zeros(256, dtype=np.int64)
        for strip in strips_of(values):
            counts += np.bincount(strip.ravel(), minlength=256)
        present = np.flatnonzero(counts)
        return dict(zip(present.tolist(), counts[present].tolist(), strict=True))
    total: Counter[int] = Counter()
    for strip in strips_of(values):
        numbers, found = np.unique(strip, return_counts=True)
        total.update(dict(zip(numbers.tolist(), found.tolist(), strict=True)))
    return dict(sorted(total.items()))


def map_values(values: np.ndarray, table: Mapping[int, int]) -> np.ndarray:
    """Return the entry of `table` for each value, as uint8.

    Args:
        values: whole numbers (H, W, …).
        table: from each number that occurs to a number from 0 to 255, ascending by the first.
    """
    numbers = np.array(list(table), dtype=values.dtype)
    images = np.array(list(table.values()), dtype=np.uint8)
    mapped = np.empty(values.shape, dtype=np.uint8)
    by_value = np.zeros(256, dtype=np.uint8)
    if values.dtype == np.uint8:
        by_value[numbers] = images
    for rows in row_strips(values.shape[0], values.shape[1]):
        if values.dtype == np.uint8:
            mapped[rows] = by_value[values[rows]]
        else:
            mapped[rows] = images[np.searchsorted(numbers, values[rows])]
    return mapped


def decode_numbers(numbers: np.ndarray, classes: Mapping[int, int]) -> DecodedMask:
    """Return the decoded mask of numbers in a file.

    Args:
        numbers: whole numbers (H, W).
        classes: class id, or 255, of each number that occurs, ascending by number.
    """
    void = frozenset(number for number, class_id in classes.items() if class_id == IGNORE_INDEX)
    ids = map_values(numbers, classes)
    return DecodedMask(ids=ids, numbers=frozenset(classes), void_numbers=void)
