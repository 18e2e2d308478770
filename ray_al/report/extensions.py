"""Describe in words how a run was extended."""

from collections.abc import Iterator, Sequence

from ray_al.ledger import Event
from ray_al.ledger.records import CycleTrained, RunExtended

SHOWN = 3
"""Names that a sentence lists at most."""
OF_CLASSES = ("class_names", "colors", "mask_values", "mask_encoding", "ignore_ids")
"""Settings of `data` that follow from the classes, which have sentences of their own."""


def next_cycles(events: Sequence[Event]) -> list[int]:
    """Return the first cycle that was, or will be, trained after each extension."""
    cycle, following = 0, []
    for event in events:
        if isinstance(event.record, CycleTrained):
            cycle = event.record.cycle + 1
        elif isinstance(event.record, RunExtended):
            following.append(cycle)
    return following


def extension_lines(record: RunExtended, unit: str) -> Iterator[str]:
    """Yield one sentence for each change.

    Args:
        record: how the run was extended.
        unit: kind of the budget's unit.
    """
    yield from _image_lines(record)
    first = len(record.class_names) - len(record.added_classes)
    for number, name in enumerate(record.added_classes, start=first):
        yield f"class added: {name} (id {number})"
    for old, new in (record.renamed_classes or {}).items():
        yield f"class renamed: {old} is now {new}"
    if "budget.amount" in record.changes:
        yield f"budget: now {record.amount} {unit}"
    for key, change in record.changes.items():
        if key != "budget.amount" and not _is_of_classes(key):
            before, after = change if isinstance(change, list) else (None, change)
            yield f"{key}: {before!r} is now {after!r}"


def _is_of_classes(key: str) -> bool:
    section, *rest = key.split(".")
    return section == "data" and rest[0] in OF_CLASSES


def _image_lines(record: RunExtended) -> Iterator[str]:
    if record.num_added:
        yield f"images added: {record.num_added}; the pool has {record.num_images} images in all"
    if record.broken:
        names = [image.image_id for image in record.broken]
        yield f"images added that cannot be used: {len(names)} ({_some(names)})"
    if record.removed:
        yield (
            f"images removed: {len(record.removed)} ({_some(record.removed)}); labels of them stay"
        )
    if record.gone:
        yield (
            f"images removed whose files are gone: {len(record.gone)}; "
            "labels of them are not trained on"
        )
    if record.returned:
        yield f"images back in the pool: {len(record.returned)} ({_some(record.returned)})"
    if record.refused:
        yield f"regions that need no answer any more: {len(record.refused)}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (" …" if len(names) > SHOWN else "")
