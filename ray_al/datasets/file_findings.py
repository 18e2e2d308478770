"""Findings about single files: unreadable images, masks that cannot be used, duplicates."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from ray_al.core.config.mask_values import Value, key_of
from ray_al.core.families.layouts import Finding
from ray_al.datasets.catalog import Dataset
from ray_al.datasets.findings import listed, summarized
from ray_al.datasets.look import Look
from ray_al.datasets.mask_advice import ordered
from ray_al.datasets.mask_decoder import UnknownValuesError
from ray_al.datasets.pixels import UsedRange

MIN_USED_SHARE = 1 / 8
"""Images that use less of the range of their type are refused until a range is set."""
MAX_CLIPPED_SHARE = 0.05
"""Share of the values of an image outside the range beyond which a warning says so; ranges that
leave out the darkest and brightest 2 % are usual."""


def image_findings(split: str, looks: Sequence[Look]) -> list[Finding]:
    """Return a finding if images of a split cannot be used."""
    errors = [look.image.error for look in looks if look.image.error]
    if not errors:
        return []
    message = summarized(errors, len(looks), f"images of the split {split!r} cannot be used")
    return [Finding(name="unreadable_images", severity="error", message=message)]


def narrow_ranges(looks: Iterable[Look]) -> list[Finding]:
    """Return a finding for each type of more than 8 bits of whose range little is used.

    Such images are nearly of one grey, for networks as for people.
    """
    used: dict[np.dtype, UsedRange] = {}
    counts: Counter[np.dtype] = Counter()
    for look in looks:
        if (one := look.image.used) is None:
            continue
        counts[one.dtype] += 1
        before = used.get(one.dtype, one)
        used[one.dtype] = UsedRange(one.dtype, min(before.low, one.low), max(before.high, one.high))
    return [
        Finding(
            name="narrow_range",
            severity="error",
            message=f"images of type {one.dtype}: all values of the {counts[one.dtype]} that were "
            f"read lie between {one.low:g} and {one.high:g}, {one.share:.1%} of what the type can "
            "hold, so they would look nearly of one grey; set "
            f"data.value_range=[{one.low:.0f}, {one.high:.0f}], or another range "
            "that fits all images, which `ray-al datasets check` reads",
        )
        for one in used.values()
        if one.share < MIN_USED_SHARE
    ]


def clipped_values(looks: Sequence[Look]) -> list[Finding]:
    """Return a finding if much of some images lies outside `data.value_range`."""
    clipped = [look for look in looks if look.image.clipped_share > MAX_CLIPPED_SHARE]
    if not clipped:
        return []
    most = max(clipped, key=lambda look: look.image.clipped_share)
    return [
        Finding(
            name="clipped_values",
            severity="warning",
            message=f"{len(clipped)} of {len(looks)} images have more than {MAX_CLIPPED_SHARE:.0%} "
            "of their values outside data.value_range, which become black or white, in "
            f"{most.file.image_id} {most.image.clipped_share:.0%}; widen the range unless that is "
            "intended",
        )
    ]


def mask_findings(
    split: str,
    seen: Mapping[str, Sequence[Look]],
    dataset: Dataset,
    *,
    people: bool = False,
) -> list[Finding]:
    """Return findings if masks of a split are missing or cannot be used.

    Test images may lack a mask: they are left out of the test.

    Args:
        split: the role of the split.
        seen: the looks at images and masks, by split.
        dataset: says how masks are decoded.
        people: whether people label the pool, so nothing reads its masks.
    """
    findings = []
    looks = seen[split]
    missing = [
        look.file.uri
        for look in looks
        if look.file.mask_uri is None and look.file.image_id not in dataset.unlabelled
    ]
    if missing and (split == "val" or (split == "train" and not people)):
        message = f"{listed(missing)}: {_MISSING_MASK[split]}"
        findings.append(Finding(name="missing_masks", severity="error", message=message))
    errors = [look.mask.error for look in looks if look.mask.error and not look.mask.unknown]
    unknown = [look.mask.unknown for look in looks if look.mask.unknown]
    severity: Literal["error", "warning"] = "warning" if people and split == "train" else "error"
    if errors:
        message = summarized(errors, len(looks), f"masks of the split {split!r} cannot be used")
        findings.append(Finding(name="unusable_masks", severity=severity, message=message))
    if unknown:
        findings.append(_unknown_values(split, seen, unknown, dataset, severity))
    return findings


def _unknown_values(
    split: str,
    seen: Mapping[str, Sequence[Look]],
    unknown: Sequence[UnknownValuesError],
    dataset: Dataset,
    severity: Literal["error", "warning"],
) -> Finding:
    """Return the finding that masks hold unknown values, with the table that could explain all."""
    errors = [error.seen for error in unknown]
    words = f"masks of the split {split!r} hold unknown values"
    message = summarized(errors, len(seen[split]), words)
    values = {value for error in unknown for value in error.values}
    values |= _known_values(seen[split], dataset)
    others = [look for name, looks in seen.items() if name != split for look in looks]
    known = _known_values(others, dataset)
    if known and not any(look.mask.unknown for look in others):
        shown = ", ".join(map(key_of, ordered(known)))
        remedy = (
            f"masks of the other splits hold {shown} and can be read, so write these masks with "
            f"the same values, or, if {', '.join(map(key_of, ordered(values - known)))} means "
            "something else, say so in data.mask_values"
        )
    elif len({isinstance(value, int) for value in values}) == 1:
        remedy = dataset.decoder.advice(values)
    else:
        remedy = unknown[0].remedy
    return Finding(name="unusable_masks", severity=severity, message=f"{message}; {remedy}")


def _known_values(looks: Iterable[Look], dataset: Dataset) -> set[Value]:
    return {dataset.decoder.value_of(number) for look in looks for number in look.mask.numbers}


_MISSING_MASK = {
    "train": "this image has no mask; add it, or set label.annotator=files to have people label",
    "val": "this validation image has no mask; add it, set label.validation=true to have people "
    "label it first, or take the image out of the split",
}


def same_files(seen: Mapping[str, Sequence[Look]]) -> list[tuple[str, str]]:
    """Return the names of each pool and validation image that have the same content."""
    names = _names_by_digest(seen["val"])
    return [
        (look.file.image_id, names[look.image.digest])
        for look in seen["train"]
        if look.image.digest in names
    ]


def _names_by_digest(looks: Iterable[Look]) -> dict[str, str]:
    return {look.image.digest: look.file.image_id for look in looks if look.image.digest}


def shared_images(dataset: Dataset, same_content: Sequence[tuple[str, str]]) -> list[Finding]:
    """Return a finding if images are both in the pool and in the validation split.

    Args:
        dataset: whose splits are compared by the URIs of their images.
        same_content: names of a pool and a validation image that are the same picture.
    """
    validation = {image.uri for image in dataset.splits["val"]}
    names = [image.image_id for image in dataset.splits["train"] if image.uri in validation]
    names += [f"{one} and {other}" for one, other in same_content if one != other]
    if not names:
        return []
    return [
        Finding(
            name="shared_images",
            severity="error",
            message=f"{len(names)} images are both in the pool and in the validation split: "
            f"{listed(names)}; every curve would be measured on what was trained on: take them out "
            "of one, or, if that is intended, set data.allow=[shared_images]",
        )
    ]


def duplicates_of(looks: Iterable[Look]) -> list[list[str]]:
    """Return the names of images with the same content, in groups of two or more."""
    names: dict[str, dict[str, None]] = {}
    for look in looks:
        if look.image.digest and not look.image.error:
            names.setdefault(look.image.digest, {})[look.file.image_id] = None
    return [list(group) for group in names.values() if len(group) > 1]


def duplicate_images(duplicates: Sequence[Sequence[str]]) -> list[Finding]:
    """Return a finding if there are groups of images with the same content."""
    if not duplicates:
        return []
    groups = listed([" = ".join(group) for group in duplicates])
    return [
        Finding(
            name="duplicate_images",
            severity="warning",
            message=f"{len(duplicates)} pictures have several names: {groups}",
        )
    ]


def small_images(errors: Sequence[str], num: int) -> list[Finding]:
    """Return a finding if some of the `num` images of the pool are too small for a region."""
    if not errors:
        return []
    message = summarized(errors, num, "images of the pool have no region")
    return [Finding(name="too_small", severity="error", message=message)]
