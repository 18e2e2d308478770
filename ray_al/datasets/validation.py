"""Validation images that are drawn from the pool (`data.val_split: 10 %`)."""

from collections.abc import Iterable, Sequence

import pyarrow as pa

from ray_al.core.errors import ConfigError, StorageError
from ray_al.core.parquet import read_parquet
from ray_al.core.run_dir import RunDir
from ray_al.core.seeding import seed_of
from ray_al.core.storage import Storage
from ray_al.core.types import ImageFile
from ray_al.datasets.tiles import image_of

Parts = tuple[tuple[ImageFile, ...], tuple[ImageFile, ...]]
"""The images that stay in the pool, and those for validation."""


def is_drawn(image_id: str, share: float) -> bool:
    """Return whether an image is one of the share for validation.

    It follows from the name alone. So it is the same for every seed, and stays the same when images
    are added or the data move.
    """
    return seed_of("validation image", image_id) < share * 2**63


def draw_validation(
    images: Sequence[ImageFile], share: float, shown: str, *, asks_people: bool = False
) -> Parts:
    """Split the pool into images that stay and images for validation.

    Images without a mask stay, since models are compared with masks, unless people are asked for
    the masks.

    Args:
        images: all images of the pool.
        share: expected share of the images with masks, or of all images if people are asked.
        shown: the share as the configuration has it, for messages.
        asks_people: whether people label validation images that have no mask.

    Raises:
        ConfigError: one of the parts would be empty.
    """
    eligible = [image for image in images if asks_people or image.mask_uri is not None]
    drawn = {image.image_id for image in eligible if is_drawn(image.image_id, share)}
    if not eligible:
        raise ConfigError(
            f"data.val_split: {shown} of the images with masks is drawn for validation, but none "
            f"of the {len(images)} images has a mask; add masks, set label.validation=true to have "
            "people label these images first, or set data.val_split=none to run without validation"
        )
    what = f"{len(eligible)} images{'' if asks_people else ' with masks'}"
    if not drawn:
        raise ConfigError(
            f"data.val_split: {shown} of {what}, drawn by their names, is none; raise it"
        )
    parts = _parts(images, drawn)
    if not parts[0]:
        raise ConfigError(
            f"data.val_split: {shown} of {what}, drawn by their names, is all, and the pool would "
            "be empty; lower it"
        )
    return parts


def recorded_validation(images: Sequence[ImageFile], run: Storage) -> Parts | None:
    """Split the images as a run did when it began; images that were added since stay in the pool.

    Returns:
        None if the run has not recorded which images it drew.

    Raises:
        StorageError: the record is damaged.
    """
    rows = _recorded(run, RunDir.VALIDATION, ["image_id"])
    return None if rows is None else _parts(images, {row["image_id"] for row in rows})


def unlabelled_validation(
    images: Sequence[ImageFile], run: Storage | None, *, asks_people: bool
) -> frozenset[str]:
    """Return the names of the validation images whose masks people make.

    Args:
        images: of the validation split.
        run: the directory of a run that has begun; its record decides, even if masks were added.
        asks_people: whether a new run asks people.

    Raises:
        StorageError: the record is damaged.
    """
    if run is None:
        return frozenset(image.image_id for image in images if asks_people and not image.mask_uri)
    rows = _recorded(run, RunDir.UNLABELLED_VALIDATION, ["image_id", "uri"]) or ()
    return frozenset(image_of(row["image_id"], row["uri"]) for row in rows)


def _recorded(run: Storage, name: str, columns: list[str]) -> list[dict[str, str]] | None:
    """Return the rows of a table of a run; None if there is none."""
    data = run.read_if_there(name)
    if data is None:
        return None
    try:
        rows: list[dict[str, str]] = read_parquet(data, columns).to_pylist()
    except (pa.ArrowException, KeyError) as error:
        raise StorageError(
            f"{run.uri(name)}: is damaged ({error}); restore the file from a copy"
        ) from error
    return rows


def _parts(images: Iterable[ImageFile], drawn: set[str]) -> Parts:
    parts: tuple[list[ImageFile], list[ImageFile]] = [], []
    for image in images:
        parts[image.image_id in drawn].append(image)
    return tuple(parts[0]), tuple(parts[1])
