"""Change the classes of a configuration, so that what masks and labels mean stays the same."""

from collections.abc import Mapping, Sequence
from typing import Any

from ray_al.core.config import DataConfig
from ray_al.core.config.mask_values import IGNORE, Value, key_of
from ray_al.core.errors import ConfigError
from ray_al.core.types import IGNORE_INDEX
from ray_al.datasets.catalog import data_root
from ray_al.datasets.class_table import ClassTable, generated_color, open_class_table
from ray_al.datasets.mask_decoder import MaskDecoder
from ray_al.datasets.mask_table import read_table
from ray_al.driver.extend.wanted import Wanted

Color = tuple[int, int, int]


def change_classes(
    values: dict[str, Any],
    data: DataConfig,
    names: Sequence[str],
    colors: Sequence[Color],
    wanted: Wanted,
) -> None:
    """Write the new classes into `values`, the plain values of the section `data`, in place.

    Ids of masks become a table (`data.mask_values`) where their order alone does not say what the
    new classes are. Nothing is written for classes that files of the data set name themselves.

    Args:
        data: the section as it is, with the present root.
        names: of the classes of the run, by id.
        colors: of these classes.
        wanted: the classes to add and to rename.

    Raises:
        ConfigError: an unknown or repeated name, or a value that masks cannot have.
    """
    root = data_root(data)
    _check_names(names, wanted)
    if data.dataset.draws_masks:
        _refuse_values(wanted)
        if data.class_names is not None:
            values["class_names"] = [*_renamed(data.class_names, wanted), *wanted.added]
            _keep_colors(values, data, colors, wanted, root)
        return
    known = open_class_table(data, root)
    if data.class_names is None and known.class_names != tuple(names):
        _refuse_values(wanted)
        return
    table = _table(data, root, known)
    following = range(_num_names(data, root), _num_names(data, root) + len(wanted.added))
    if table is None and _needs_table(known.decoder, wanted, following):
        table = _table_of(known)
    if table is None:
        values["class_names"] = [*_renamed(data.dataset.names(data, root), wanted), *wanted.added]
    else:
        values.update(mask_encoding="ids", ignore_ids=[])
        values["mask_values"] = _extended_table(table, wanted)
        values["class_names"] = [*_renamed(names, wanted), *wanted.added]
    _keep_colors(values, data, colors, wanted, root)


def _renamed(names: Sequence[str], wanted: Wanted) -> list[str]:
    return [wanted.renamed.get(name, name) for name in names]


def _refuse_values(wanted: Wanted) -> None:
    """Refuse ids and colours of classes that files of the data set name themselves."""
    for name, value in wanted.added.items():
        if value is not None:
            raise ConfigError(
                f"--add-class {name}={key_of(value)}: files of the data set say what its classes "
                "are, and how they are marked; give the name alone"
            )


def _num_names(data: DataConfig, root: str) -> int:
    return len(data.dataset.names(data, root))


def _check_names(class_names: Sequence[str], wanted: Wanted) -> None:
    shown = ", ".join(class_names)
    for old in wanted.renamed:
        if old not in class_names:
            raise ConfigError(
                f"--rename-class {old}={wanted.renamed[old]}: {old!r} is no class of this run; "
                f"its classes are {shown}"
            )
    names = [wanted.renamed.get(name, name) for name in class_names]
    for key, new in (
        *(("--rename-class", name) for name in wanted.renamed.values()),
        *(("--add-class", name) for name in wanted.added),
    ):
        if [*names, *wanted.added].count(new) > 1:
            raise ConfigError(f"{key}: there would be two classes {new!r}; its classes are {shown}")


def _table(data: DataConfig, root: str, known: ClassTable) -> dict[Value, str] | None:
    """Return the table by which masks are read now; None if there is none."""
    table = read_table(data, root, data.dataset)
    if table is not None:
        return dict(table.names)
    numbers = data.dataset.numbers(data, root, _num_names(data, root))
    return None if numbers is None else _table_of(known)


def _needs_table(decoder: MaskDecoder, wanted: Wanted, following: Sequence[int]) -> bool:
    """Return whether the order of the classes does not say which value a new class has in masks.

    Args:
        following: the ids after those of all named classes, one for each new class.
    """
    needs_table = False
    for (name, value), number in zip(wanted.added.items(), following, strict=True):
        is_taken = decoder.encoding == "colors" or number in decoder.ignore_ids
        if value is None and is_taken:
            raise ConfigError(
                f"--add-class {name}: what it is in masks does not follow from its place after the "
                f"other classes; give its id or colour, such as --add-class {name}=VALUE"
            )
        needs_table |= is_taken or value not in (None, number)
    return needs_table


def _table_of(known: ClassTable) -> dict[Value, str]:
    """Return the table that reads masks as they are read now."""
    decoder = known.decoder
    names = dict(enumerate(known.class_names)) | {IGNORE_INDEX: IGNORE}
    count = len(decoder.colors) if decoder.encoding == "colors" else 256
    return {
        decoder.value_of(number): names[class_id]
        for number in range(count)
        if (class_id := decoder.class_of(number)) is not None
    }


def _extended_table(table: Mapping[Value, str], wanted: Wanted) -> dict[str, str]:
    """Return the table with the changes, as `data.mask_values` is written."""
    is_of_colors = isinstance(next(iter(table)), tuple)
    changed = {value: wanted.renamed.get(name, name) for value, name in table.items()}
    for name, value in wanted.added.items():
        if value is None:
            raise ConfigError(
                f"--add-class {name}: data.mask_values says what masks hold; give the id or colour "
                f"of the class there, such as --add-class {name}=VALUE"
            )
        if isinstance(value, tuple) != is_of_colors:
            held = "colours" if is_of_colors else "ids"
            raise ConfigError(f"--add-class {name}={key_of(value)}: masks hold {held} here")
        if changed.get(value, IGNORE) != IGNORE:
            raise ConfigError(
                f"--add-class {name}={key_of(value)}: this value means {changed[value]!r} already; "
                "classes that exist cannot be divided, as old labels do not say which is which"
            )
        changed[value] = name
    return {key_of(value): name for value, name in changed.items()}


def _keep_colors(
    values: dict[str, Any],
    data: DataConfig,
    colors: Sequence[Color],
    wanted: Wanted,
    root: str,
) -> None:
    """Write colours out if present classes would be shown in others than before."""
    first = len(colors)
    new = [
        value if isinstance(value, tuple) else generated_color(first + place)
        for place, value in enumerate(wanted.added.values())
    ]
    if data.colors:
        # A colour for each name: with ignored classes, there are more than classes that are learnt.
        known = colors if values["mask_values"] else data.colors
        values["colors"] = [list(color) for color in (*known, *new)]
        return
    present = open_class_table(DataConfig.model_validate(values), root)
    if tuple(present.colors[:first]) != tuple(colors) and len(present.colors) == first + len(new):
        values["colors"] = [list(color) for color in (*colors, *new)]


def check_meaning(before: MaskDecoder, after: MaskDecoder, num_classes: int) -> None:
    """Refuse classes with which a value of masks means another class than before.

    Args:
        before, after: how masks were and are read.
        num_classes: number of classes before.

    Raises:
        ConfigError: naming the value.
    """
    then, now = _meanings(before), _meanings(after)
    for value, class_id in then.items():
        meant = now.get(value)
        is_new = meant is not None and num_classes <= meant < IGNORE_INDEX
        if meant != class_id and not (is_new and class_id == IGNORE_INDEX):
            raise ConfigError(
                f"{key_of(value)} in masks meant {before.shown_class(class_id)}, and would mean "
                f"{'nothing' if meant is None else after.shown_class(meant)}; labels of both kinds "
                "would be mixed: start a new run with these classes"
            )


def _meanings(decoder: MaskDecoder) -> dict[Value, int]:
    """Return the class id of each value that has a meaning."""
    count = len(decoder.colors) if decoder.encoding == "colors" else 256
    meant = {decoder.value_of(number): decoder.class_of(number) for number in range(count)}
    return {value: class_id for value, class_id in meant.items() if class_id is not None}
