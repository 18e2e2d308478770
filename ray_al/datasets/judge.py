"""What the masks of a data set say together, that no mask says alone."""

from collections.abc import Mapping, Sequence

import numpy as np

from ray_al.core.types import IGNORE_INDEX
from ray_al.datasets.catalog import Dataset
from ray_al.datasets.findings import Finding, Look

MIN_VOID_SHARE = 0.001
"""Share of pixels without a label below which they hide no class, where several classes occur."""


def judge_masks(seen: Mapping[str, Sequence[Look]], dataset: Dataset, *, complete: bool) -> list[Finding]:
    """Compare the classes that occur with those that there are, and the pool's with those of validation.

    Args:
        seen: by split.
        complete: whether all masks of the pool were looked at.
    """
    findings, present = [], {}
    for split in ("train", "val"):
        looks = seen.get(split, ())
        if masks := [one.counts for one in looks if one.counts is not None]:
            counts = np.sum(masks, axis=0)
            present[split] = {number for number in range(dataset.num_classes) if counts[number]}
            void = frozenset().union(*(one.void_numbers for one in looks)) - dataset.void_ids
            share = int(counts[IGNORE_INDEX]) / max(1, int(counts.sum()))
            if void and _hides_a_class(present[split], void, share, dataset.num_classes, complete or split == "val"):
                findings.append(_absent_class(split, present[split], sorted(void), share, dataset))
    if len(present) == 2:
        findings += _differ(present["train"], present["val"], dataset, complete)
    return findings


def _hides_a_class(present: set[int], void: frozenset[int], share: float, num_classes: int, complete: bool) -> bool:
    """Whether a number that is taken for "no label" may be a class: each class that never occurs could be one of them."""
    if len(present) <= 1:
        return True
    num_absent = num_classes - len(present)
    return complete and share >= MIN_VOID_SHARE and 0 < num_absent <= len(void)


def _absent_class(split: str, present: set[int], void: list[int], share: float, dataset: Dataset) -> Finding:
    absent = [name for number, name in enumerate(dataset.class_names) if number not in present]
    seen = f"{', '.join(absent)} never occurs" if absent else f"{dataset.class_names[0]} is the only class"
    return Finding(
        name="absent_class",
        severity="error",
        message=f"masks of the split {split!r}: {seen}, while {', '.join(map(str, void))} fills {share:.2%} of the pixels and counts as 'no label'. "
        "If that is a class (0 and 255 are usual for two), set data.mask_encoding=colors, a name a class in data.class_names and its grey level in "
        "data.colors, e.g. [[0,0,0],[255,255,255]]; if it does mean 'no label', set data.allow=[absent_class]",
    )


def _differ(pool: set[int], validation: set[int], dataset: Dataset, complete: bool) -> list[Finding]:
    if pool == validation:
        return []
    for step in (1, -1):
        if len(pool) > 1 and pool == {number + step for number in validation}:
            return [
                Finding(
                    name="shifted_ids",
                    severity="error",
                    message=f"the pool's masks hold the ids {sorted(pool)}, those of validation {sorted(validation)}: they seem to count "
                    "from different numbers; let both count from 0, or, if they are right, set data.allow=[shifted_ids]",
                )
            ]
    if not complete:
        return []
    only = {"the pool": pool - validation, "validation": validation - pool}
    told = [f"only in {place}: {', '.join(dataset.class_names[number] for number in sorted(ids))}" for place, ids in only.items() if ids]
    return [Finding(name="classes_differ", severity="warning", message=f"classes that occur {'; '.join(told)}")]
