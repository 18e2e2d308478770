"""Read the table that says what the values of masks mean."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ray_al.core.config import DataConfig
from ray_al.core.config.mask_values import IGNORE, Value, key_of, value_of
from ray_al.core.errors import ConfigError
from ray_al.core.families.layouts import Layout
from ray_al.datasets.listing import read_lines
from ray_al.datasets.mask_advice import UNKNOWN, table_text

_CVAT = re.compile(r"(?P<name>.*?):(?P<color>[^:]*):[^:]*:[^:]*")
"""A line of labelmap.txt: `name:red,green,blue:parts:actions`."""
_CAMVID = re.compile(r"(?P<color>\d+\s+\d+\s+\d+)\s+(?P<name>.+)")
"""A line of label_colors.txt: `red green blue name`."""


@dataclass(frozen=True, kw_only=True)
class MaskTable:
    """What stands in masks, and what it means.

    Attributes:
        source: the setting or file that holds the table, for messages.
        names: the name of a class, or `ignore`, for each id or each colour.
        is_from_file: whether a file holds the table, not the configuration.
        is_layouts: whether the layout defines the table.
    """

    source: str
    names: Mapping[Value, str]
    is_from_file: bool = False
    is_layouts: bool = False

    @property
    def is_of_colors(self) -> bool:
        """Whether masks hold colours."""
        return isinstance(next(iter(self.names)), tuple)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order in which the table first names them."""
        return tuple(dict.fromkeys(name for name in self.names.values() if name != IGNORE))


def read_table(data: DataConfig, root: str, layout: Layout) -> MaskTable | None:
    """Return the table of `data.mask_values`, or of the file that the layout expects.

    Args:
        data: the section `data`.
        root: path or URI of the files.
        layout: of the files; a table of its own is read if no setting says what masks hold.

    Raises:
        ConfigError: the file does not exist, or is no such table.
    """
    if isinstance(data.mask_values, dict):
        return MaskTable(
            source="data.mask_values",
            names={value_of(key): name for key, name in data.mask_values.items()},
        )
    if data.mask_values is not None:
        table = _read_file(root, data.mask_values)
        if table is None:
            raise ConfigError(
                f"data.mask_values: there is no file {data.mask_values!r} below {root!r}; correct "
                "its name, or write a table such as {0: road, 255: ignore}"
            )
        return table
    settles = data.class_names or data.colors or data.ignore_ids or data.mask_encoding == "colors"
    if settles:
        return None
    table = _read_file(root, layout.table_file) if layout.table_file else None
    colors = layout.mask_colors(root)
    if table is None and colors:
        source = f"the palette of data.dataset={layout.kind}"
        return MaskTable(source=source, names=colors, is_layouts=True)
    return table


def _read_file(root: str, name: str) -> MaskTable | None:
    """Return the table of a file below the root; None if there is no such file."""
    lines = read_lines(root, name)
    if lines is None:
        return None
    names: dict[Value, str] = {}
    source = f"{root.rstrip('/')}/{name}"
    for line in lines:
        if line.startswith("#"):
            continue
        match = _CVAT.fullmatch(line) or _CAMVID.fullmatch(line)
        try:
            color = value_of(re.sub(r"\s+", ",", match["color"].strip())) if match else None
        except ValueError:
            color = None
        if match is None or not isinstance(color, tuple) or not match["name"].strip():
            raise ConfigError(
                f"{source}: the line {line!r} is neither `name:red,green,blue:parts:actions`, as "
                "in labelmap.txt, nor `red green blue name`; correct it"
            )
        label = match["name"].strip()
        if names.setdefault(color, label) != label:
            raise ConfigError(
                f"{source}: {names[color]!r} and {label!r} have the same colour {key_of(color)}, "
                "so masks cannot tell them apart; give each its own, or write data.mask_values"
            )
    if not names:
        raise ConfigError(f"{source}: names no class; write data.mask_values")
    return MaskTable(source=source, names=names, is_from_file=True)


MAX_COLORS = 255
"""A colour is kept as its place in the table, in a byte."""


def check_table(table: MaskTable, class_names: tuple[str, ...]) -> None:
    """Refuse a table that does not fit the names of the classes.

    Raises:
        ConfigError: it holds too many colours, an unknown class, or no value of a class.
    """
    if table.is_of_colors and len(table.names) > MAX_COLORS:
        raise ConfigError(f"{table.source}: {len(table.names)} colours; give at most {MAX_COLORS}")
    if IGNORE in class_names:
        raise ConfigError(
            f"data.class_names: {IGNORE!r} means 'no label' in {table.source}; give the class "
            "another name, or leave it out"
        )
    unknown = [name for name in table.class_names if name not in class_names]
    if UNKNOWN in unknown:
        raise ConfigError(
            f"{table.source}: {UNKNOWN} stands for a class that only you can know; write one of "
            f"data.class_names ({', '.join(class_names)}) in its place, or {IGNORE} if the value "
            "means 'no label'"
        )
    if unknown:
        mended = {
            value: name if name in class_names else IGNORE for value, name in table.names.items()
        }
        raise ConfigError(
            f"{table.source}: {', '.join(map(repr, unknown))} is not in data.class_names "
            f"({', '.join(class_names)}); add it there or correct it, or, if it means 'no label', "
            f"write under data: {table_text(mended)}"
        )
    missing = [name for name in class_names if name not in table.class_names]
    if missing:
        raise ConfigError(
            f"{table.source}: no value means {', '.join(map(repr, missing))}; add the value that "
            "it has in masks, or take it out of data.class_names"
        )
