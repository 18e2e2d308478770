"""What the masks of a data set say together, that no mask says alone."""

from collections.abc import Mapping, Sequence

import numpy as np

from ray_al.core.families.layouts import Finding
from ray_al.core.types import IGNORE_INDEX
from ray_al.datasets.catalog import Dataset
from ray_al.datasets.findings import Look

MIN_VOID_SHARE = 0.001
"""Share of pixels without a label below which they hide no class, where several classes occur."""
MIN_ODD_SHARE = 0.2
"""Share of pixels with an ignored number from which it is odd that the other split has none."""


def judge_masks(
    seen: Mapping[str, Sequence[Look]], dataset: Dataset, *, complete: bool
) -> list[Finding]:
    """Compare the classes that occur with those that there are, and the pool's with those of validation.

    Args:
        seen: by split.
        complete: whether all masks of the pool were looked at.
    """
    findings: list[Finding] = []
    present: dict[str, set[int]] = {}
    void: dict[str, frozenset[int]] = {}
    share: dict[str, float] = {}
    for split in ("train", "val"):
        looks = seen.get(split, ())
        if masks := [one.counts for one in looks if one.counts is not None]:
            counts = np.sum(masks, axis=0)
            present[split] = {number for number in range(dataset.num_classes) if counts[number]}
            void[split] = frozenset().union(*(one.void_numbers for one in looks))
            share[split] = int(counts[IGNORE_INDEX]) / max(1, int(counts.sum()))
            doubtful = void[split] - dataset.void_ids
            if doubtful and _hides_a_class(
                present[split],
                doubtful,
                share[split],
                dataset.num_classes,
                complete or split == "val",
            ):
                findings.append(
                    _absent_class(split, present[split], sorted(doubtful), share[split], dataset)
                )
    if len(present) == 2:
        findings += [
            *_differ(present["train"], present["val"], dataset, complete),
            *_void_of_one_split(void, share),
        ]
    return findings


def _hides_a_class(
    present: set[int], void: frozenset[int], share: float, num_classes: int, complete: bool
) -> bool:
    """Whether a number that is taken for "no label" may be a class: each class that never occurs could be one of them."""
    if len(present) <= 1:
        return True
    num_absent = num_classes - len(present)
    return complete and share >= MIN_VOID_SHARE and 0 < num_absent <= len(void)


def _absent_class(
    split: str, present: set[int], void: list[int], share: float, dataset: Dataset
) -> Finding:
    absent = [name for number, name in enumerate(dataset.class_names) if number not in present]
    seen = (
        f"{', '.join(absent)} never occurs"
        if absent
        else f"{dataset.class_names[0]} is the only class"
    )
    return Finding(
        name="absent_class",
        severity="error",
        message=f"masks of the split {split!r}: {seen}, while {', '.join(map(str, void))} fills {share:.2%} of the pixels and counts as 'no label'. "
        "If that is a class (0 and 255 are usual for two), set data.mask_encoding=colors, a name a class in data.class_names and its grey level in "
        "data.colors, e.g. [[0,0,0],[255,255,255]]; if it does mean 'no label', set data.allow=[absent_class]",
    )


def _void_of_one_split(
    void: Mapping[str, frozenset[int]], share: Mapping[str, float]
) -> list[Finding]:
    """An ignored number that fills much of one split and never occurs in the other means something else in one of them."""
    for split, other in (("train", "val"), ("val", "train")):
        numbers = sorted(void[split] - void[other] - {IGNORE_INDEX})
        if numbers and share[split] >= MIN_ODD_SHARE:
            ignored = ", ".join(map(str, numbers))
            return [
                _shifted(
                    f"the ignored {ignored} fills {share[split]:.1%} of the masks of {split!r} and never occurs in those of {other!r}"
                )
            ]
    return []


def _shifted(words: str) -> Finding:
    remedy = "they seem to count from different numbers; let both count alike, or, if they are right, set data.allow=[shifted_ids]"
    return Finding(name="shifted_ids", severity="error", message=f"{words}: {remedy}")


def _differ(
    pool: set[int], validation: set[int], dataset: Dataset, complete: bool
) -> list[Finding]:
    if pool == validation:
        return []
    for step in (1, -1):
        if len(pool) > 1 and pool == {number + step for number in validation}:
            return [
                _shifted(
                    f"the pool's masks hold the ids {sorted(pool)}, those of validation {sorted(validation)}"
                )
            ]
    if not complete:
        return []
    only = {"the pool": pool - validation, "validation": validation - pool}
    told = [
        f"only in {place}: {', '.join(dataset.class_names[number] for number in sorted(ids))}"
        for place, ids in only.items()
        if ids
    ]
    return [
        Finding(
            name="classes_differ",
            severity="warning",
            message=f"classes that occur {'; '.join(told)}",
        )
    ]
