"""Validation images that are drawn from the pool (`data.val_split: 10 %`)."""

from collections.abc import Iterable, Sequence

import pyarrow as pa

from ray_al.core.errors import ConfigError, StorageError
from ray_al.core.parquet import read_parquet
from ray_al.core.run_dir import RunDir
from ray_al.core.seeding import seed_of
from ray_al.core.storage import Storage
from ray_al.core.types import ImageFile

Parts = tuple[tuple[ImageFile, ...], tuple[ImageFile, ...]]
"""The images that stay in the pool, and those for validation."""


def is_drawn(image_id: str, share: float) -> bool:
    """Return whether an image is one of the share for validation.

    It follows from the name alone. So it is the same for every seed, and stays the same when images
    are added or the data move.
    """
    return seed_of("validation image", image_id) < share * 2**63


def draw_validation(images: Sequence[ImageFile], share: float, shown: str) -> Parts:
    """Split the pool into images that stay and images for validation.

    Images without a mask stay, since models are compared with masks.

    Args:
        images: all images of the pool.
        share: expected share of the images with masks.
        shown: the share as the configuration has it, for messages.

    Raises:
        ConfigError: one of the parts would be empty.
    """
    masked = [image for image in images if image.mask_uri is not None]
    drawn = {image.image_id for image in masked if is_drawn(image.image_id, share)}
    if not masked:
        raise ConfigError(
            f"data.val_split: {shown} of the images with masks is drawn for validation, but none "
            f"of the {len(images)} images has a mask; add masks, or set data.val_split=none to run "
            "without validation"
        )
    if not drawn:
        raise ConfigError(
            f"data.val_split: {shown} of {len(masked)} images with masks, drawn by their names, is "
            "none; raise it"
        )
    parts = _parts(images, drawn)
    if not parts[0]:
        raise ConfigError(
            f"data.val_split: {shown} of {len(masked)} images with masks, drawn by their names, is "
            "all, and the pool would be empty; lower it"
        )
    return parts


def recorded_validation(images: Sequence[ImageFile], run: Storage) -> Parts | None:
    """Split the images as a run did when it began; images that were added since stay in the pool.

    Returns:
        None if the run has not recorded which images it drew.

    Raises:
        StorageError: the record is damaged.
    """
    data = run.read_if_there(RunDir.VALIDATION)
    if data is None:
        return None
    try:
        names = read_parquet(data).column("image_id").to_pylist()
    except (pa.ArrowException, KeyError) as error:
        raise StorageError(
            f"{run.uri(RunDir.VALIDATION)}: is damaged ({error}); restore the file from a copy"
        ) from error
    return _parts(images, set(names))


def _parts(images: Iterable[ImageFile], drawn: set[str]) -> Parts:
    parts: tuple[list[ImageFile], list[ImageFile]] = [], []
    for image in images:
        parts[image.image_id in drawn].append(image)
    return tuple(parts[0]), tuple(parts[1])
