"""Judge what the masks of a data set show together, but no single mask shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ray_al.core.config.mask_values import IGNORE, Value, key_of
from ray_al.core.families.layouts import Finding
from ray_al.core.types import IGNORE_INDEX
from ray_al.datasets.catalog import Dataset
from ray_al.datasets.look import Look, count_pixels
from ray_al.datasets.mask_advice import UNKNOWN, table_text

MIN_VOID_SHARE = 0.001
"""Share of pixels without a label below which they hide no class, if several classes occur."""
MIN_ODD_SHARE = 0.2
"""Share of pixels with an ignored number from which it is odd that the other split has none."""


@dataclass(frozen=True, kw_only=True)
class SplitClasses:
    """The class ids and ignored numbers that occur in the masks of a split.

    Attributes:
        split: its role, `train` or `val`.
        present: class ids that occur.
        numbers: those in the files.
        void: those of them that became "no label".
        void_share: share of the pixels without a label.
        is_complete: whether all masks of the split were looked at.
    """

    split: str
    present: frozenset[int]
    numbers: frozenset[int]
    void: frozenset[int]
    void_share: float
    is_complete: bool


def judge_masks(
    seen: Mapping[str, Sequence[Look]], dataset: Dataset, *, complete: bool
) -> list[Finding]:
    """Compare the classes that occur with the class table, and those of the pool and validation.

    Args:
        seen: the looks at images and masks, by split.
        dataset: with the class table.
        complete: whether all masks of the pool were looked at.
    """
    found: dict[str, SplitClasses] = {}
    for split in ("train", "val"):
        classes = _classes_of(split, seen.get(split, ()), dataset, complete or split == "val")
        if classes is not None:
            found[split] = classes
    findings = _hidden_classes(found, dataset)
    if len(found) < 2:
        return findings
    pool, validation = found["train"], found["val"]
    shifted = _shifted_ids(pool, validation)
    if shifted or findings:
        return findings + shifted
    return _differ(pool, validation, dataset)


def _hidden_classes(found: Mapping[str, SplitClasses], dataset: Dataset) -> list[Finding]:
    """Return findings if classes never occur, but may be what counts as "no label"."""
    hiding: dict[tuple[frozenset[int], frozenset[int]], list[str]] = {}
    for split, classes in found.items():
        doubtful = classes.void - dataset.void_ids
        if doubtful and _hides_a_class(classes, doubtful, dataset.num_classes):
            hiding.setdefault((classes.present, doubtful), []).append(split)
    findings = [
        _absent_class(
            f"masks of {' and '.join(map(repr, splits))}", found[splits[0]], doubtful, dataset
        )
        for (_, doubtful), splits in hiding.items()
    ]
    if findings or not found:
        return findings
    present = frozenset[int]().union(*(classes.present for classes in found.values()))
    for classes in found.values():
        doubtful = classes.void - dataset.layout_void_ids
        if len(present) < dataset.num_classes and doubtful and classes.void_share >= MIN_VOID_SHARE:
            everywhere = replace(classes, present=present)
            return [_absent_class("all masks looked at", everywhere, doubtful, dataset)]
    return []


def _classes_of(
    split: str, looks: Sequence[Look], dataset: Dataset, is_complete: bool
) -> SplitClasses | None:
    """Return what occurs in the masks of a split; None if none of them can be used."""
    if all(look.mask.counts is None for look in looks):
        return None
    counts = count_pixels(looks)
    return SplitClasses(
        split=split,
        present=frozenset(number for number in range(dataset.num_classes) if counts[number]),
        numbers=frozenset().union(*(look.mask.numbers for look in looks)),
        void=frozenset().union(*(look.mask.void_numbers for look in looks)),
        void_share=counts[IGNORE_INDEX] / max(1, counts.total()),
        is_complete=is_complete,
    )


def _hides_a_class(classes: SplitClasses, doubtful: frozenset[int], num_classes: int) -> bool:
    """Return whether a number that is taken for "no label" may be a class.

    Each class that never occurs could be one of these numbers.
    """
    if len(classes.present) <= 1:
        return True
    num_absent = num_classes - len(classes.present)
    return (
        classes.is_complete
        and classes.void_share >= MIN_VOID_SHARE
        and 0 < num_absent <= len(doubtful)
    )


def _absent_class(
    place: str, classes: SplitClasses, doubtful: frozenset[int], dataset: Dataset
) -> Finding:
    absent = [
        name for number, name in enumerate(dataset.class_names) if number not in classes.present
    ]
    seen = (
        f"{', '.join(absent)} never occur{'s' if len(absent) == 1 else ''}"
        if absent
        else f"{dataset.class_names[0]} is the only class"
    )
    void = [key_of(dataset.decoder.value_of(number)) for number in sorted(doubtful)]
    table = table_text(_corrected(classes, doubtful, absent, dataset))
    blank = (
        f" (with a name of data.class_names, or {IGNORE}, for each {UNKNOWN})"
        if UNKNOWN in table
        else ""
    )
    one, share = len(void) == 1, f"{classes.void_share:.2%} of the pixels"
    counts = f"fills {share} and counts" if one else f"fill {share} and count"
    if one:
        condition = "that is a class"
    elif blank:
        condition = "any of them is a class"
    else:
        condition = f"{', '.join(void)} are {', '.join(absent)}, in this order"
    return Finding(
        name="absent_class",
        severity="error",
        message=f"{place}: {seen}, while {', '.join(void)} {counts} as "
        f"'no label'. If {condition}, write under data{blank}: {table}; if "
        f"{'it does' if one else 'they do'} mean 'no label', set data.allow=[absent_class]",
    )


def _corrected(
    classes: SplitClasses, doubtful: frozenset[int], absent: Sequence[str], dataset: Dataset
) -> dict[Value, str]:
    """Return the table in which doubtful numbers are the absent classes."""
    decoder = dataset.decoder
    fits = len(absent) == len(doubtful)
    names = iter(absent if fits else [UNKNOWN] * len(doubtful))
    table: dict[Value, str] = {}
    for number in sorted(classes.numbers):
        class_id = decoder.class_of(number)
        if number in doubtful:
            name = next(names)
        elif class_id is None or class_id == IGNORE_INDEX:
            name = IGNORE
        else:
            name = dataset.class_names[class_id]
        table[decoder.value_of(number)] = name
    return {**decoder.known, **table}


def _shifted_ids(pool: SplitClasses, validation: SplitClasses) -> list[Finding]:
    """Return a finding if the ids of the pool and of validation count from different numbers."""
    for step in (1, -1):
        for one, other in (
            (pool.present, validation.present),
            (pool.numbers - {IGNORE_INDEX}, validation.numbers - {IGNORE_INDEX}),
        ):
            if len(one) > 1 and one == {number + step for number in other}:
                return [
                    _shifted(
                        f"the pool's masks hold the ids {sorted(one)}, those of validation "
                        f"{sorted(other)}"
                    )
                ]
    return _void_of_one_split(pool, validation)


def _void_of_one_split(pool: SplitClasses, validation: SplitClasses) -> list[Finding]:
    """Return a finding if an ignored number fills much of one split and never occurs in the other.

    It then means something else in one of them.
    """
    for one, other in ((pool, validation), (validation, pool)):
        numbers = sorted(one.void - other.void - {IGNORE_INDEX})
        if numbers and one.void_share >= MIN_ODD_SHARE:
            ignored = ", ".join(map(str, numbers))
            return [
                _shifted(
                    f"the ignored {ignored} fills {one.void_share:.1%} of the masks of "
                    f"{one.split!r} and never occurs in those of {other.split!r}"
                )
            ]
    return []


def _shifted(words: str) -> Finding:
    remedy = (
        "they seem to count from different numbers; let both count alike, or, if they are right, "
        "set data.allow=[shifted_ids]"
    )
    return Finding(name="shifted_ids", severity="error", message=f"{words}: {remedy}")


def _differ(pool: SplitClasses, validation: SplitClasses, dataset: Dataset) -> list[Finding]:
    """Return findings if other classes occur in the pool than in validation."""
    findings = []
    if missing := _names(pool.present - validation.present, dataset):
        findings.append(
            Finding(
                name="missing_class",
                severity="error",
                message=f"{missing} occurs in masks of the pool, but in no validation mask, so "
                "nothing would measure how well it is learnt; add validation images that show it "
                "(or raise the share that data.val_split draws), "
                f"or, if it is to be left out, write {IGNORE} for it in data.mask_values; to go on "
                "without measuring it, set data.allow=[missing_class]",
            )
        )
    if pool.is_complete and (unseen := _names(validation.present - pool.present, dataset)):
        findings.append(
            Finding(
                name="classes_differ",
                severity="warning",
                message=f"{unseen} occurs in validation masks, but in none of the pool, so it "
                "cannot be learnt",
            )
        )
    return findings


def _names(class_ids: frozenset[int], dataset: Dataset) -> str:
    return ", ".join(dataset.class_names[number] for number in sorted(class_ids))
