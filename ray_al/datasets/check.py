"""Read every image and mask and say what is wrong."""

import hashlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ray_al.core.errors import DataError
from ray_al.core.types import ImageFile
from ray_al.datasets import masks
from ray_al.datasets.catalog import Dataset
from ray_al.datasets.images import read_image
from ray_al.datasets.read import read_data


def check_dataset(
    dataset: Dataset,
    *,
    threads: int = 4,
    progress: Callable[[int, int], None] | None = None,
    too_small: Callable[[int, int], str | None] = lambda height, width: None,
) -> dict[str, Any]:
    """Counts, sizes and class shares by split, and what is broken, missing, mismatched, too small or there twice.

    Args:
        too_small: says of a pool image's height and width why it has no region, or None.

    Returns:
        A JSON-able report with `ok`. A training split without any mask is a pool for people, and no fault.

    Raises:
        ReadError: a file could not be read just now, so that nothing can be said of it.
    """
    total = sum(len(images) for images in dataset.splits.values())
    done, digests, report = 0, Counter[str](), {"splits": {}, "duplicates": [], "ok": True}
    names: dict[str, list[str]] = {}
    for split, images in dataset.splits.items():
        facts = []
        with ThreadPoolExecutor(threads) as executor:
            for fact in executor.map(lambda image: _look(image, dataset), images):
                facts.append(fact)
                done += 1
                digests[fact["digest"]] += 1
                names.setdefault(fact["digest"], []).append(fact["image_id"])
                if progress is not None:
                    progress(done, total)
        summary = _summary(facts, dataset)
        if split == "train":
            reasons = ((fact["image_id"], too_small(*fact["size"])) for fact in facts if fact["size"])
            summary["too_small"] = [f"{image_id}: {reason}" for image_id, reason in reasons if reason]
        report["splits"][split] = summary  # type: ignore[index]
    report["duplicates"] = [names[digest] for digest, count in digests.items() if digest and count > 1]
    report["ok"] = not report["duplicates"] and all(_is_fine(summary, split) for split, summary in report["splits"].items())  # type: ignore[attr-defined]
    return report


def _look(image: ImageFile, dataset: Dataset) -> dict[str, Any]:
    fact: dict[str, Any] = {
        "image_id": image.image_id,
        "digest": "",
        "size": None,
        "error": None,
        "mask_error": None,
        "counts": None,
        "mismatch": None,
    }
    try:
        fact["digest"] = hashlib.sha256(read_data(image.uri)).hexdigest()
        fact["size"] = read_image(image.uri).shape[:2]
    except DataError as error:
        fact["error"] = str(error)
    if image.mask_uri is None:
        return fact
    try:
        mask = masks.read_mask(image.mask_uri, dataset.decoder)
    except DataError as error:
        return {**fact, "mask_error": str(error)}
    fact["counts"] = np.bincount(mask.ravel(), minlength=256)
    if fact["size"] and mask.shape != fact["size"]:
        fact["mismatch"] = f"{image.mask_uri}: {mask.shape[0]}x{mask.shape[1]}, its image {fact['size'][0]}x{fact['size'][1]}"
    return fact


def _summary(facts: list[dict[str, Any]], dataset: Dataset) -> dict[str, Any]:
    counts = sum((fact["counts"] for fact in facts if fact["counts"] is not None), np.zeros(256, dtype=np.int64))
    num_pixels = max(1, int(counts.sum()))
    shares = {name: round(int(counts[index]) / num_pixels, 6) for index, name in enumerate(dataset.class_names)}
    return {
        "num_images": len(facts),
        "sizes": {f"{size[0]}x{size[1]}": count for size, count in Counter(fact["size"] for fact in facts if fact["size"]).items()},
        "class_shares": {**shares, "ignored": round(int(counts[255]) / num_pixels, 6)},
        "unreadable": [fact["error"] for fact in facts if fact["error"]],
        "missing_masks": [fact["image_id"] for fact in facts if fact["counts"] is None and not fact["mask_error"]],
        "mask_errors": [fact["mask_error"] for fact in facts if fact["mask_error"]],
        "size_mismatches": [fact["mismatch"] for fact in facts if fact["mismatch"]],
    }


def _is_fine(summary: dict[str, Any], split: str) -> bool:
    missing = len(summary["missing_masks"])
    if split == "train" and missing == summary["num_images"]:
        missing = 0
    return not (missing or summary["unreadable"] or summary["mask_errors"] or summary["size_mismatches"] or summary.get("too_small"))
