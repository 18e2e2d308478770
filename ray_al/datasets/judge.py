"""Judge what the masks of a data set show together, but no single mask shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ray_al.core.families.layouts import Finding
from ray_al.core.types import IGNORE_INDEX
from ray_al.datasets.catalog import Dataset
from ray_al.datasets.look import Look

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
        void: numbers in the files that became "no label".
        void_share: share of the pixels without a label.
        is_complete: whether all masks of the split were looked at.
    """

    split: str
    present: frozenset[int]
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
    findings: list[Finding] = []
    found: dict[str, SplitClasses] = {}
    for split in ("train", "val"):
        classes = _classes_of(split, seen.get(split, ()), dataset, complete or split == "val")
        if classes is None:
            continue
        found[split] = classes
        doubtful = classes.void - dataset.void_ids
        if doubtful and _hides_a_class(classes, doubtful, dataset.num_classes):
            findings.append(_absent_class(classes, sorted(doubtful), dataset))
    if len(found) == 2:
        pool, validation = found["train"], found["val"]
        findings += [
            *_differ(pool.present, validation.present, dataset, complete),
            *_void_of_one_split(pool, validation),
        ]
    return findings


def _classes_of(
    split: str, looks: Sequence[Look], dataset: Dataset, is_complete: bool
) -> SplitClasses | None:
    """Return what occurs in the masks of a split; None if none of them can be used."""
    masks = [look.mask.counts for look in looks if look.mask.counts is not None]
    if not masks:
        return None
    counts = np.sum(masks, axis=0)
    return SplitClasses(
        split=split,
        present=frozenset(number for number in range(dataset.num_classes) if counts[number]),
        void=frozenset().union(*(look.mask.void_numbers for look in looks)),
        void_share=int(counts[IGNORE_INDEX]) / max(1, int(counts.sum())),
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


def _absent_class(classes: SplitClasses, void: list[int], dataset: Dataset) -> Finding:
    absent = [
        name for number, name in enumerate(dataset.class_names) if number not in classes.present
    ]
    only = f"{dataset.class_names[0]} is the only class"
    seen = f"{', '.join(absent)} never occurs" if absent else only
    return Finding(
        name="absent_class",
        severity="error",
        message=f"masks of the split {classes.split!r}: {seen}, while {', '.join(map(str, void))} "
        f"fills {classes.void_share:.2%} of the pixels and counts as 'no label'. If that is a "
        "class (0 and 255 are usual for two), set data.mask_encoding=colors, one name per class in "
        "data.class_names and its grey level in data.colors, e.g. [[0,0,0],[255,255,255]]; if it "
        "does mean 'no label', set data.allow=[absent_class]",
    )


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


def _differ(
    pool: frozenset[int], validation: frozenset[int], dataset: Dataset, complete: bool
) -> list[Finding]:
    """Return a finding if other classes occur in the pool than in validation."""
    if pool == validation:
        return []
    for step in (1, -1):
        if len(pool) > 1 and pool == {number + step for number in validation}:
            return [
                _shifted(
                    f"the pool's masks hold the ids {sorted(pool)}, those of validation "
                    f"{sorted(validation)}"
                )
            ]
    if not complete:
        return []
    parts = []
    for place, ids in (("the pool", pool - validation), ("validation", validation - pool)):
        if ids:
            names = ", ".join(dataset.class_names[number] for number in sorted(ids))
            parts.append(f"only in {place}: {names}")
    return [
        Finding(
            name="classes_differ",
            severity="warning",
            message=f"classes that occur {'; '.join(parts)}",
        )
    ]
