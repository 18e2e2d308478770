"""Check a data set before it is used.

`check_dataset` reads every file, for `ray-al datasets check`; `check_start` reads what a run can
afford before it begins.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from typing import Literal, TypedDict

from ray_al.core.errors import ConfigError, DataError
from ray_al.core.families.layouts import Finding
from ray_al.core.reading import size_of_uri
from ray_al.core.types import IGNORE_INDEX, ImageFile
from ray_al.datasets.catalog import Dataset
from ray_al.datasets.file_findings import (
    clipped_values,
    duplicate_images,
    duplicates_of,
    image_findings,
    mask_findings,
    narrow_ranges,
    same_files,
    shared_images,
    small_images,
)
from ray_al.datasets.judge import judge_masks
from ray_al.datasets.look import Look, count_pixels, look
from ray_al.datasets.read import read_data

logger = logging.getLogger(__name__)

NUM_POOL_MASKS = 256
"""Number of the pool's masks that a run looks at before it begins; it looks at another one when a
region of its image is labelled."""
IMAGES_AT_A_TIME = 1 << 16
"""Number of images whose sizes are asked for at a time: one future for each of millions of images
would take gigabytes."""
MAX_COMPARED = 10_000
"""Number of the pool's images that a run compares with validation images of the same file size."""


class SplitSummary(TypedDict, total=False):
    """Counts of a split; `too_small` for the pool only."""

    num_images: int
    sizes: dict[str, int]
    class_shares: dict[str, float]
    unreadable: list[str]
    missing_masks: list[str]
    mask_errors: list[str]
    size_mismatches: list[str]
    too_small: list[str]


class ReportedFinding(TypedDict):
    """A finding, and whether `data.allow` names it."""

    name: str
    severity: Literal["error", "warning"]
    allowed: bool
    message: str


class CheckReport(TypedDict):
    """The result of checking a whole data set, ready for JSON."""

    splits: dict[str, SplitSummary]
    duplicates: list[list[str]]
    findings: list[ReportedFinding]
    ok: bool


def check_start(
    dataset: Dataset, *, pool_masks: bool = False, test: bool = False, threads: int = 4
) -> None:
    """Look at what a run can afford to read before it begins, and log warnings.

    That is all of the validation split, which every cycle reads; the lists of the pool; and whether
    validation images are among the pool's. The headers of the pool are read with its manifest, its
    pixels when an image is opened.

    Args:
        dataset: of the run.
        pool_masks: whether the pool's masks will be read; then a sample of them is looked at.
        test: whether the test split will be read, as by `ray-al final` and by models that are
            measured; then its images with masks are looked at.
        threads: how many files are read at a time.

    Raises:
        ConfigError: an error that `data.allow` does not name, as `check_dataset` finds it.
    """
    splits = dataset.splits
    sample = [image for image in splits["train"] if pool_masks and image.mask_uri]
    tested = [image for image in splits.get("test", ()) if test and image.mask_uri]
    with ThreadPoolExecutor(threads) as executor:
        seen = {"val": list(executor.map(lambda file: look(file, dataset), splits["val"]))}
        seen["train"] = list(
            executor.map(
                lambda file: look(file, dataset, whole=False), _evenly(sample, NUM_POOL_MASKS)
            )
        )
        seen["test"] = list(executor.map(lambda file: look(file, dataset), tested))
        same_content = _same_content(splits["train"], seen["val"], executor)
    findings = list(dataset.findings)
    for split in ("val", "test"):
        findings += image_findings(split, seen[split])
        findings += mask_findings(split, seen, dataset)
    findings += narrow_ranges(chain.from_iterable(seen.values()))
    # A few unusable masks are refused one by one, when a region of theirs is to be labelled.
    num_unusable = sum(found.mask.error is not None for found in seen["train"])
    if num_unusable * 2 > len(seen["train"]):
        findings += mask_findings("train", seen, dataset)
    is_complete = len(seen["train"]) == len(splits["train"])
    findings += judge_masks(seen, dataset, complete=is_complete)
    findings += shared_images(dataset, same_content)
    for finding in (*dataset.findings, *clipped_values(seen["val"])):
        if finding.severity == "warning":
            logger.warning("%s", finding.message)
    _raise_errors(findings, dataset)


def _raise_errors(findings: Iterable[Finding], dataset: Dataset) -> None:
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
) -> CheckReport:
    """Read every image and mask and report what is broken, missing, too small or duplicated.

    Args:
        dataset: to be checked.
        threads: how many files are read at a time.
        progress: called with the number of files that are done, and of all.
        reads_masks: whether the run's annotator reads the pool's masks; None if that is not known:
            a training split without any mask is then taken for a pool that people label.
        too_small: returns why a pool image of a height and width has no region, or None.

    Returns:
        The report, whose `ok` is false if a finding would keep a run from beginning.

    Raises:
        ReadError: a file could not be read just now, so nothing can be said about it.
    """
    seen = _look_at_all(dataset, threads, progress)
    duplicates = duplicates_of(chain.from_iterable(seen.values()))
    small = _too_small_images(seen["train"], too_small)
    findings = list(dataset.findings)
    for split, looks in seen.items():
        has_no_masks = all(found.file.mask_uri is None for found in looks)
        people = has_no_masks if reads_masks is None else not reads_masks
        findings += [
            *image_findings(split, looks),
            *mask_findings(split, seen, dataset, people=people),
        ]
    findings += [
        *narrow_ranges(chain.from_iterable(seen.values())),
        *clipped_values(list(chain.from_iterable(seen.values()))),
        *_judged(seen, dataset, reads_masks=reads_masks),
        *shared_images(dataset, same_files(seen)),
        *duplicate_images(duplicates),
        *small_images(small, len(seen["train"])),
    ]
    reported = [_reported(finding, dataset) for finding in findings]
    summaries = {split: _summary(looks, dataset) for split, looks in seen.items()}
    summaries["train"]["too_small"] = small
    return {
        "splits": summaries,
        "duplicates": duplicates,
        "findings": reported,
        "ok": not any(row["severity"] == "error" and not row["allowed"] for row in reported),
    }


def _judged(
    seen: dict[str, list[Look]], dataset: Dataset, *, reads_masks: bool | None
) -> list[Finding]:
    """Return what the masks show together; a warning if only masks that nothing reads show it."""
    findings = judge_masks(seen, dataset, complete=True)
    if reads_masks is not False:
        return findings
    certain = judge_masks({"val": seen["val"]}, dataset, complete=True)
    others = [
        replace(finding, severity="warning") for finding in findings if finding not in certain
    ]
    return certain + others


def _look_at_all(
    dataset: Dataset, threads: int, progress: Callable[[int, int], None] | None
) -> dict[str, list[Look]]:
    """Look at every image and mask, by split."""
    total = sum(len(images) for images in dataset.splits.values())
    done = 0
    seen: dict[str, list[Look]] = {}
    with ThreadPoolExecutor(threads) as executor:
        for split, images in dataset.splits.items():
            seen[split] = []
            for found in executor.map(lambda file: look(file, dataset), images):
                seen[split].append(found)
                done += 1
                if progress is not None:
                    progress(done, total)
    return seen


def _too_small_images(
    looks: Sequence[Look], too_small: Callable[[int, int], str | None]
) -> list[str]:
    errors = []
    for found in looks:
        reason = too_small(*found.image.size) if found.image.size else None
        if reason:
            errors.append(f"{found.file.image_id}: {reason}")
    return errors


def _reported(finding: Finding, dataset: Dataset) -> ReportedFinding:
    return {
        "name": finding.name,
        "severity": finding.severity,
        "allowed": finding.name in dataset.allow,
        "message": finding.message,
    }


def _summary(looks: Sequence[Look], dataset: Dataset) -> SplitSummary:
    counts = count_pixels(looks)
    num_pixels = max(1, counts.total())
    shares = {
        name: round(counts[index] / num_pixels, 6) for index, name in enumerate(dataset.class_names)
    }
    sizes = Counter(found.image.size for found in looks if found.image.size)
    masks = [found.mask for found in looks]
    mask_errors = [(mask.error, mask.has_other_size) for mask in masks if mask.error]
    return {
        "num_images": len(looks),
        "sizes": {f"{size[0]}x{size[1]}": count for size, count in sizes.items()},
        "class_shares": {**shares, "ignored": round(counts[IGNORE_INDEX] / num_pixels, 6)},
        "unreadable": [found.image.error for found in looks if found.image.error],
        "missing_masks": [found.file.image_id for found in looks if found.file.mask_uri is None],
        "mask_errors": [error for error, has_other_size in mask_errors if not has_other_size],
        "size_mismatches": [error for error, has_other_size in mask_errors if has_other_size],
    }


def _same_content(
    pool: Sequence[ImageFile], validation: Sequence[Look], executor: ThreadPoolExecutor
) -> list[tuple[str, str]]:
    """Return the names of each pool and validation image with the same content.

    Only files of the same number of bytes are read, and at most MAX_COMPARED of them.
    """
    names = {found.image.digest: found.file.image_id for found in validation if found.image.digest}
    file_sizes = {found.image.num_bytes for found in validation}
    alike: list[ImageFile] = []
    for start in range(0, len(pool), IMAGES_AT_A_TIME):
        block = pool[start : start + IMAGES_AT_A_TIME]
        look_up = executor.map if "://" in block[0].uri else map
        sizes = look_up(lambda image: size_of_uri(image.uri), block)
        alike += (image for image, size in zip(block, sizes, strict=True) if size in file_sizes)
    alike = _evenly(alike, MAX_COMPARED)
    digests = executor.map(_digest, alike)
    return [
        (image.image_id, names[digest])
        for image, digest in zip(alike, digests, strict=True)
        if digest in names
    ]


def _digest(image: ImageFile) -> str:
    """Return the digest of a file; "" if it is missing, which the manifest reports."""
    try:
        return hashlib.sha256(read_data(image.uri)).hexdigest()
    except DataError:
        return ""


def _evenly(images: Sequence[ImageFile], most: int) -> list[ImageFile]:
    """Return at most `most` of `images`, spread over all of them."""
    step = max(1.0, len(images) / most)
    return [images[int(position * step)] for position in range(min(most, len(images)))]
