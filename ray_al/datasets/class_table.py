"""Find the classes of a data set, and what the values of its masks mean."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ray_al.core.config import DataConfig
from ray_al.core.config.mask_values import IGNORE, Value
from ray_al.core.errors import ConfigError
from ray_al.core.families.layouts import Colors, Layout
from ray_al.datasets.mask_decoder import MaskDecoder
from ray_al.datasets.mask_table import MaskTable, check_table, read_table

MAX_CLASS_NAMES = 255
"""Class ids are bytes, and 255 means "no label"."""


@dataclass(frozen=True, kw_only=True)
class ClassTable:
    """The classes of a data set, and how its masks are read.

    Attributes:
        class_names: of the classes that are learnt, by id.
        colors: one colour per class.
        decoder: turns masks into class ids.
        void_ids: numbers in masks that are known to mean "no label"; others are assumed to.
        layout_void_ids: those of them that the layout itself defines.
    """

    class_names: tuple[str, ...]
    colors: Colors
    decoder: MaskDecoder
    void_ids: frozenset[int] = frozenset()
    layout_void_ids: frozenset[int] = frozenset()


def open_class_table(data: DataConfig, root: str) -> ClassTable:
    """Return the classes of a data set, and the meaning of the values in its masks.

    Args:
        data: the section `data`.
        root: path or URI of the files.

    Raises:
        ConfigError: an impossible table; the message names the key or file and the remedy.
    """
    layout = data.dataset
    table = read_table(data, root, layout)
    if table is not None:
        return _of_table(data, root, table)
    return _of_numbers(data, root, layout)


def _of_table(data: DataConfig, root: str, table: MaskTable) -> ClassTable:
    """Return the classes where a table says what masks hold."""
    layout = data.dataset
    own_names = table.class_names if table.is_from_file else layout.names(data, root)
    class_names = _checked_names(data.class_names or own_names, layout)
    if layout.mask_source(data, root, class_names) is not None:
        raise ConfigError(
            f"{table.source}: dataset {layout.kind!r} reads masks that are no files of their own, "
            "and names their classes itself; leave it out, and see the settings of data.dataset"
        )
    for key, is_set in (
        ("ignore_ids", bool(data.ignore_ids)),
        ("mask_encoding", data.mask_encoding != "ids"),
    ):
        if is_set:
            raise ConfigError(
                f"data.{key} has no effect beside {table.source}, which says what each value of a "
                f"mask means ({IGNORE} for 'no label'); leave it out"
            )
    check_table(table, class_names)
    if data.nearest_color and not table.is_of_colors:
        raise ConfigError(
            f"data.nearest_color: true has no effect, because {table.source} holds ids; write the "
            "colours of the masks there, or leave it out"
        )
    decoder = _table_decoder(data, table, class_names)
    return ClassTable(
        class_names=class_names,
        colors=_display_colors(data, layout, table, class_names),
        decoder=decoder,
        void_ids=frozenset(decoder.ignore_ids),
        layout_void_ids=frozenset(decoder.ignore_ids if table.is_layouts else ()),
    )


def _table_decoder(data: DataConfig, table: MaskTable, class_names: tuple[str, ...]) -> MaskDecoder:
    """Return the decoder of a table; the number of a colour is its place in the table."""
    by_number: Mapping[int, str] = (
        dict(enumerate(table.names.values()))
        if table.is_of_colors
        else {value: name for value, name in table.names.items() if isinstance(value, int)}
    )
    painted = tuple(value for value in table.names if isinstance(value, tuple))
    return MaskDecoder(
        num_classes=len(class_names),
        encoding="colors" if table.is_of_colors else "ids",
        colors=painted or data.colors or (),
        ignore_ids=tuple(number for number, name in by_number.items() if name == IGNORE),
        id_map={
            number: class_names.index(name) for number, name in by_number.items() if name != IGNORE
        },
        nearest_color=data.nearest_color,
        checks_palette=bool(data.colors),
        is_table=True,
        class_names=class_names,
        known=table.names,
    )


def _display_colors(
    data: DataConfig, layout: Layout, table: MaskTable, class_names: tuple[str, ...]
) -> Colors:
    """Return a colour per class for pictures: as set, as in masks, of the layout, or made up."""
    if data.colors or not table.is_of_colors:
        is_layouts = class_names == layout.class_names
        return _class_colors(data, layout.colors if is_layouts else (), len(class_names))
    first: dict[str, tuple[int, int, int]] = {}
    for value, name in table.names.items():
        if isinstance(value, tuple):
            first.setdefault(name, value)
    return tuple(first[name] for name in class_names)


def _of_numbers(data: DataConfig, root: str, layout: Layout) -> ClassTable:
    """Return the classes where masks hold their numbers, or one colour for each."""
    class_names = _checked_names(layout.names(data, root), layout)
    colors = _class_colors(data, layout.colors, len(class_names))
    if data.nearest_color and data.mask_encoding == "ids":
        raise ConfigError(
            "data.nearest_color: true has no effect on masks of ids; set "
            "data.mask_encoding=colors, or leave it out"
        )
    decoder = replace(
        _number_decoder(data, root, class_names, colors),
        source=layout.mask_source(data, root, class_names),
    )
    ignored = frozenset(_ignored(data, len(class_names)))
    learnt = [number for number in range(len(class_names)) if number not in ignored]
    if not learnt:
        raise ConfigError(
            f"data.ignore_ids {sorted(ignored)}: names every class; leave out the ids of classes "
            "that are to be learnt"
        )
    is_layouts = not (data.class_names or data.ignore_ids)
    layout_void_ids = layout.void_ids if is_layouts else frozenset()
    return ClassTable(
        class_names=tuple(class_names[number] for number in learnt),
        colors=tuple(colors[number] for number in learnt),
        decoder=decoder,
        void_ids=(ignored & frozenset(range(len(class_names)))) | layout_void_ids,
        layout_void_ids=layout_void_ids,
    )


def _number_decoder(
    data: DataConfig, root: str, class_names: tuple[str, ...], colors: Colors
) -> MaskDecoder:
    """Return the decoder of numbers; an ignored class has no id, and the ids after it move up."""
    layout, num_names = data.dataset, len(class_names)
    numbers = layout.numbers(data, root, num_names)
    if numbers is not None:
        return MaskDecoder(
            num_classes=num_names,
            ignore_ids=numbers.ignored,
            id_map=numbers.id_map,
            class_names=class_names,
            known=_known(numbers.id_map, numbers.ignored, class_names),
        )
    ignore_ids = _ignored(data, num_names)
    learnt = [number for number in range(num_names) if number not in ignore_ids]
    id_map = {number: class_id for class_id, number in enumerate(learnt)}
    learnt_names = tuple(class_names[number] for number in learnt)
    known = _known(id_map, ignore_ids, learnt_names) if ignore_ids else {}
    if data.mask_encoding == "colors":
        known = {
            color: IGNORE if number in ignore_ids else class_names[number]
            for number, color in enumerate(colors)
        }
    return MaskDecoder(
        num_classes=len(learnt),
        encoding=data.mask_encoding,
        colors=colors,
        ignore_ids=ignore_ids,
        id_map=id_map if len(learnt) < num_names else None,
        nearest_color=data.nearest_color,
        checks_palette=bool(data.colors),
        class_names=learnt_names,
        known=known,
    )


def _known(
    id_map: Mapping[int, int], ignored: tuple[int, ...], class_names: tuple[str, ...]
) -> dict[Value, str]:
    known: dict[Value, str] = {number: class_names[meant] for number, meant in id_map.items()}
    return {**known, **dict.fromkeys(ignored, IGNORE)}


def _ignored(data: DataConfig, num_names: int) -> tuple[int, ...]:
    """Return the ids without a class; the layout's are none of those that `data.class_names` names.

    Args:
        num_names: number of class names.
    """
    own = num_names if data.class_names else 0
    return data.ignore_ids or tuple(one for one in data.dataset.ignore_ids if one >= own)


def _checked_names(class_names: tuple[str, ...], layout: Layout) -> tuple[str, ...]:
    if not class_names:
        raise ConfigError(
            f"data.class_names is missing; dataset {layout.kind!r} needs the names of its classes, "
            "id 0 first"
        )
    if twice := [name for name, count in Counter(class_names).items() if count > 1]:
        raise ConfigError(f"data.class_names: {twice[0]!r} is given twice; give each name once")
    if len(class_names) > MAX_CLASS_NAMES:
        raise ConfigError(
            f"data.class_names: {len(class_names)} names; give at most {MAX_CLASS_NAMES}"
        )
    return class_names


def _class_colors(data: DataConfig, of_layout: Colors, num_names: int) -> Colors:
    """Return the colour of each class number: as set, of the layout, or generated."""
    colors = data.colors or of_layout[:num_names]
    if len(colors) != num_names:
        if data.colors or data.mask_encoding == "colors":
            raise ConfigError(
                f"data.colors: {len(colors)} colours for {num_names} classes; give one per class, "
                "in their order"
            )
        colors = tuple(generated_color(index) for index in range(num_names))
    twice = [color for color in colors if colors.count(color) > 1]
    if twice and data.mask_encoding == "colors":
        raise ConfigError(
            f"data.colors: {list(twice[0])} is the colour of several classes, which masks cannot "
            "distinguish then; give each its own colour"
        )
    return colors


def generated_color(index: int) -> tuple[int, int, int]:
    """Return the colour of a class by Pascal VOC's bit scheme, from 1 so none is black."""
    value, rgb = index + 1, [0, 0, 0]
    for shift in range(7, -1, -1):
        for channel in range(3):
            rgb[channel] |= (value >> channel & 1) << shift
        value >>= 3
    return rgb[0], rgb[1], rgb[2]
