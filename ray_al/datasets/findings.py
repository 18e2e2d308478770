"""What is wrong with a data set: one list for `ray-al datasets check` and for what a run looks at before it begins."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ray_al.core.types import ImageFile

MAX_LISTED = 5


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen of an image and its mask.

    Attributes:
        num_bytes, digest: of the image's file; 0 and empty where it was not read as a whole.
        size: (height, width) of the image; None where it cannot be read.
        error: why the image cannot be used.
        mask_error: why the mask cannot be used, its size included.
        mismatch: whether that is its size.
        counts: pixels by class id, int64 (256,), None without a mask that can be used.
        void_numbers: the numbers in the mask that became "no label".
    """

    image: ImageFile
    num_bytes: int = 0
    digest: str = ""
    size: tuple[int, int] | None = None
    error: str | None = None
    mask_error: str | None = None
    mismatch: bool = False
    counts: np.ndarray | None = None
    void_numbers: frozenset[int] = frozenset()


def listed(names: Iterable[str], num: int | None = None) -> str:
    """The first few names, and how many there are besides."""
    names = list(names)
    num = len(names) if num is None else num
    more = num - len(names[:MAX_LISTED])
    return ", ".join(names[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")
