"""Look at images and masks and say what is wrong: all of them for `ray-al datasets check`, as many as a run can afford before it begins."""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ray_al.core.errors import ConfigError, DataError
from ray_al.core.families.layouts import Finding
from ray_al.core.reading import size_of_uri
from ray_al.core.types import IGNORE_INDEX, ImageFile
from ray_al.datasets.catalog import Dataset
from ray_al.datasets.findings import Look, listed
from ray_al.datasets.images import decode_image, read_image_size
from ray_al.datasets.judge import judge_masks
from ray_al.datasets.masks import decode_mask
from ray_al.datasets.read import read_data

logger = logging.getLogger(__name__)

NUM_POOL_MASKS = 256
"""Masks of the pool that a run looks at before it begins; the others are looked at when a region of theirs is labelled."""
IMAGES_AT_A_TIME = 1 << 16
MAX_COMPARED = 10_000
"""Images of the pool that a run compares with validation images of the same number of bytes."""


def look(image: ImageFile, dataset: Dataset, *, whole: bool = True) -> Look:
    """Read an image, or its header alone where it is not wanted `whole`, and its mask."""
    facts: dict[str, Any] = {}
    try:
        if whole:
            data = read_data(image.uri)
            facts.update(num_bytes=len(data), digest=hashlib.sha256(data).hexdigest())
            height, width, _ = decode_image(data, image.uri).shape
            facts["size"] = (height, width)
        else:
            facts["size"] = read_image_size(image.uri)
    except DataError as error:
        facts["error"] = str(error)
    if image.mask_uri is not None:
        facts.update(_look_at_mask(image.mask_uri, dataset, facts.get("size")))
    return Look(image=image, **facts)


def _look_at_mask(uri: str, dataset: Dataset, size: tuple[int, int] | None) -> dict[str, Any]:
    try:
        mask = decode_mask(read_data(uri), uri, dataset.decoder)
    except DataError as error:
        return {"mask_error": str(error)}
    height, width = mask.ids.shape
    if size is not None and (height, width) != size:
        words = f"{uri}: {height}x{width} pixels, its image {size[0]}x{size[1]}; export the mask at the image's size"
        return {"mask_error": words, "mismatch": True}
    return {
        "counts": np.bincount(mask.ids.ravel(), minlength=256),
        "void_numbers": mask.void_numbers,
    }


def check_start(
    dataset: Dataset, *, pool_masks: bool = False, test: bool = False, threads: int = 4
) -> None:
    """What a run looks at before it begins.

    All of the validation split, which every cycle reads; of the pool the lists, its masks' samples where `pool_masks` will be read, and
    whether validation images are among its images. The pool's headers are read with its manifest; its pixels when an image is opened. The
    test split is read by `ray-al final` and by models that are measured: where `test` says so, its masked images are looked at too. Warnings
    are logged.

    Raises:
        ConfigError: an error that `data.allow` does not name, as `check_dataset` finds it.
    """
    with ThreadPoolExecutor(threads) as executor:
        seen = {
            "val": list(executor.map(lambda image: look(image, dataset), dataset.splits["val"]))
        }
        if pool_masks:
            sample = _evenly(
                [image for image in dataset.splits["train"] if image.mask_uri], NUM_POOL_MASKS
            )
            seen["train"] = list(
                executor.map(lambda image: look(image, dataset, whole=False), sample)
            )
        findings = [
            *dataset.findings,
            *_image_findings("val", seen["val"]),
            *_mask_findings("val", seen["val"]),
        ]
        tested = [image for image in dataset.splits.get("test", ()) if test and image.mask_uri]
        looked = list(executor.map(lambda image: look(image, dataset), tested))
        findings += [*_image_findings("test", looked), *_mask_findings("test", looked)]
        wrong = _mask_findings("train", seen.get("train", []))
        if sum(one.mask_error is not None for one in seen.get("train", [])) * 2 > len(
            seen.get("train", [])
        ):
            findings += (
                wrong  # fewer are refused one by one, when a region of theirs is to be labelled
            )
        findings += judge_masks(
            seen, dataset, complete=len(seen.get("train", [])) == len(dataset.splits["train"])
        )
        findings += _shared(dataset, _same_bytes(dataset.splits["train"], seen["val"], executor))
    for finding in dataset.findings:
        if finding.severity == "warning":
            logger.warning("%s", finding.message)
    errors = [
        finding.message
        for finding in findings
        if finding.severity == "error" and finding.name not in dataset.allow
    ]
    if errors:
        raise ConfigError("; ".join(dict.fromkeys(errors)))


def check_dataset(
    dataset: Dataset,
    *,
    threads: int = 4,
    progress: Callable[[int, int], None] | None = None,
    reads_masks: bool | None = None,
    too_small: Callable[[int, int], str | None] = lambda height, width: None,
) -> dict[str, Any]:
    """Counts, sizes and class shares by split, and what is broken, missing, mismatched, too small or there twice.

    Args:
        reads_masks: whether the run's annotator reads the pool's masks; None where it is open: a training split without any mask is then a
            pool for people.
        too_small: says of a pool image's height and width why it has no region, or None.

    Returns:
        A JSON-able report with `findings`, and `ok` where none of them would keep a run from beginning.

    Raises:
        ReadError: a file could not be read just now, so that nothing can be said of it.
    """
    total = sum(len(images) for images in dataset.splits.values())
    done = 0
    seen: dict[str, list[Look]] = {}
    with ThreadPoolExecutor(threads) as executor:
        for split, images in dataset.splits.items():
            seen[split] = []
            for one in executor.map(lambda image: look(image, dataset), images):
                seen[split].append(one)
                done += 1
                if progress is not None:
                    progress(done, total)
    duplicates = _duplicates(one for looks in seen.values() for one in looks)
    reasons = ((one.image.image_id, too_small(*one.size)) for one in seen["train"] if one.size)
    small = [f"{image_id}: {reason}" for image_id, reason in reasons if reason]
    findings = list(dataset.findings)
    for split, looks in seen.items():
        people = reads_masks is False or (
            reads_masks is None and all(one.image.mask_uri is None for one in looks)
        )
        findings += [*_image_findings(split, looks), *_mask_findings(split, looks, people=people)]
    findings += [
        *judge_masks(seen, dataset, complete=True),
        *_shared(dataset, _across(seen)),
        *_twice(duplicates),
        *_small(small, len(seen["train"])),
    ]
    told = [
        {
            "name": one.name,
            "severity": one.severity,
            "allowed": one.name in dataset.allow,
            "message": one.message,
        }
        for one in findings
    ]
    summaries = {split: _summary(looks, dataset) for split, looks in seen.items()}
    summaries["train"]["too_small"] = small
    return {
        "splits": summaries,
        "duplicates": duplicates,
        "findings": told,
        "ok": not any(one["severity"] == "error" and not one["allowed"] for one in told),
    }


def _image_findings(split: str, looks: Sequence[Look]) -> list[Finding]:
    errors = [one.error for one in looks if one.error]
    return (
        [
            _several(
                "unreadable_images",
                f"images of the split {split!r} cannot be used",
                errors,
                len(looks),
            )
        ]
        if errors
        else []
    )


def _mask_findings(split: str, looks: Sequence[Look], *, people: bool = False) -> list[Finding]:
    """`people`: whether people label the pool, so that nothing reads its masks. A test image without a mask is left out of the test."""
    findings = []
    missing = [one.image.uri for one in looks if one.image.mask_uri is None]
    if missing and (split == "val" or (split == "train" and not people)):
        remedy = (
            "add it, or take the image out of the split"
            if split != "train"
            else "add it, or set label.annotator=files to have people label"
        )
        words = "validation image has no mask" if split == "val" else "image has no mask"
        findings.append(
            Finding(
                name="missing_masks",
                severity="error",
                message=f"{listed(missing)}: this {words}; {remedy}",
            )
        )
    if errors := [one.mask_error for one in looks if one.mask_error]:
        found = _several(
            "unusable_masks", f"masks of the split {split!r} cannot be used", errors, len(looks)
        )
        findings.append(
            Finding(
                name=found.name,
                severity="warning" if people and split == "train" else "error",
                message=found.message,
            )
        )
    return findings


def _several(name: str, words: str, errors: Sequence[str], num: int) -> Finding:
    """One finding for what is wrong with some of `num` files."""
    first = "; ".join(errors[:2]) + ("; ..." if len(errors) > 2 else "")
    return Finding(
        name=name,
        severity="error",
        message=first if len(errors) == 1 else f"{len(errors)} of {num} {words}: {first}",
    )


def _shared(dataset: Dataset, same_bytes: Sequence[tuple[str, str]]) -> list[Finding]:
    """`same_bytes`: names of a pool and a validation image that are the same picture."""
    validation = {image.uri for image in dataset.splits["val"]}
    pairs = [
        (image.image_id, image.image_id)
        for image in dataset.splits["train"]
        if image.uri in validation
    ]
    pairs += [pair for pair in same_bytes if pair[0] != pair[1]]
    if not pairs:
        return []
    names = listed([one if one == other else f"{one} and {other}" for one, other in pairs])
    return [
        Finding(
            name="shared_images",
            severity="error",
            message=f"{len(pairs)} images are both in the pool and in the validation split: {names}; every curve would be measured on what was "
            "trained on: take them out of one, or, if that is intended, set data.allow=[shared_images]",
        )
    ]


def _same_bytes(
    pool: Sequence[ImageFile], validation: Sequence[Look], executor: ThreadPoolExecutor
) -> list[tuple[str, str]]:
    """Pool and validation images with the same content. Only files of the same number of bytes are read, and no more than MAX_COMPARED."""
    names = {one.digest: one.image.image_id for one in validation if one.digest}
    wanted = {one.num_bytes for one in validation}
    alike: list[ImageFile] = []
    for start in range(
        0, len(pool), IMAGES_AT_A_TIME
    ):  # a future for each of millions would take gigabytes
        block = pool[start : start + IMAGES_AT_A_TIME]
        look_up = executor.map if "://" in block[0].uri else map
        sizes = look_up(lambda image: size_of_uri(image.uri), block)
        alike += (image for image, size in zip(block, sizes, strict=True) if size in wanted)
    alike = _evenly(alike, MAX_COMPARED)
    digests = executor.map(_digest, alike)
    return [
        (image.image_id, names[digest])
        for image, digest in zip(alike, digests, strict=True)
        if digest in names
    ]


def _digest(image: ImageFile) -> str:
    try:
        return hashlib.sha256(read_data(image.uri)).hexdigest()
    except DataError:
        return ""  # the manifest says what is wrong with it


def _across(seen: Mapping[str, Sequence[Look]]) -> list[tuple[str, str]]:
    names = {one.digest: one.image.image_id for one in seen["val"] if one.digest}
    return [(one.image.image_id, names[one.digest]) for one in seen["train"] if one.digest in names]


def _duplicates(looks: Iterable[Look]) -> list[list[str]]:
    """Names of images with the same content."""
    names: dict[str, list[str]] = {}
    for one in looks:
        if one.digest:
            names.setdefault(one.digest, []).append(one.image.image_id)
    return [group for group in names.values() if len(group) > 1]


def _twice(duplicates: Sequence[Sequence[str]]) -> list[Finding]:
    if not duplicates:
        return []
    groups = listed([" = ".join(group) for group in duplicates])
    return [
        Finding(
            name="duplicate_images",
            severity="warning",
            message=f"{len(duplicates)} pictures are there under several names: {groups}",
        )
    ]


def _small(errors: Sequence[str], num: int) -> list[Finding]:
    return (
        [_several("too_small", "images of the pool have no region", errors, num)] if errors else []
    )


def _summary(looks: Sequence[Look], dataset: Dataset) -> dict[str, Any]:
    counts = sum(
        (one.counts for one in looks if one.counts is not None), np.zeros(256, dtype=np.int64)
    )
    num_pixels = max(1, int(counts.sum()))
    shares = {
        name: round(int(counts[index]) / num_pixels, 6)
        for index, name in enumerate(dataset.class_names)
    }
    return {
        "num_images": len(looks),
        "sizes": {
            f"{size[0]}x{size[1]}": count
            for size, count in Counter(one.size for one in looks if one.size).items()
        },
        "class_shares": {**shares, "ignored": round(int(counts[IGNORE_INDEX]) / num_pixels, 6)},
        "unreadable": [one.error for one in looks if one.error],
        "missing_masks": [one.image.image_id for one in looks if one.image.mask_uri is None],
        "mask_errors": [one.mask_error for one in looks if one.mask_error and not one.mismatch],
        "size_mismatches": [one.mask_error for one in looks if one.mismatch],
    }


def _evenly(images: Sequence[ImageFile], most: int) -> list[ImageFile]:
    """At most `most` of `images`, spread over all of them."""
    step = max(1.0, len(images) / most)
    return [images[int(position * step)] for position in range(min(most, len(images)))]
