"""What the values of image files become: the channels, range and no-data value of `data`."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ray_al.core.config import DataConfig
from ray_al.core.config.pixels import ChannelChoice
from ray_al.core.errors import DataError
from ray_al.datasets.strips import strips_of

WHITE = 255.0
"""What the largest value becomes; 8-bit images thus stay as they are."""
FULL_RANGE_BITS = 16
"""Integers of at most so many bits are taken to use the whole range of their type."""


class Stored(NamedTuple):
    """What the header of an image file says of its values; transparency is no channel."""

    height: int
    width: int
    channels: int
    dtype: np.dtype

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height, self.width


class UsedRange(NamedTuple):
    """The smallest and largest value of images of one type."""

    dtype: np.dtype
    low: float
    high: float

    @property
    def share(self) -> float:
        """The share of the type's range that lies between them."""
        limits = np.iinfo(self.dtype)
        return (self.high - self.low) / (int(limits.max) - int(limits.min))


class OtherPixelsError(DataError):
    """A file has channels or values that settings would have to name.

    Args:
        fact: the file, and what it holds.
        remedy: the settings that take it.
    """

    def __init__(self, fact: str, remedy: str) -> None:
        super().__init__(f"{fact}; {remedy}")
        self.fact = fact


@dataclass(frozen=True, kw_only=True)
class PixelRule:
    """How the values of a file become those that networks see.

    A value v becomes 255 (v - low) / (high - low), clipped to 0 and 255, where (low, high) is the
    value range. Values of 8 bits with their full range stay bytes, all others become float32.
    Pixels without data become 0.

    Attributes:
        channels: see `data.channels`; None repeats one channel three times.
        value_range: (low, high); None takes the range of the file's type.
        nodata: value of pixels without data, perhaps NaN; None if there are none.
    """

    channels: ChannelChoice = None
    value_range: tuple[float, float] | None = None
    nodata: float | None = None

    @classmethod
    def of(cls, data: DataConfig) -> "PixelRule":
        """Return the rule that the settings give."""
        return cls(
            channels=data.channels,
            value_range=data.value_range,
            nodata=None if data.nodata is None else float(data.nodata),
        )

    @property
    def is_plain(self) -> bool:
        """Whether 8-bit greyscale and colour images become RGB, and nothing else is set."""
        return self == PLAIN

    def check(self, stored: Stored, source: str) -> None:
        """Refuse a file whose values the rule does not cover.

        Raises:
            DataError: it has other channels, or a type whose range is not known.
        """
        self._check_channels(stored.channels, source)
        kind, bits = stored.dtype.kind, 8 * stored.dtype.itemsize
        if kind not in "iuf":
            raise DataError(
                f"{source}: holds values of type {stored.dtype}; save whole numbers or "
                "floating-point numbers"
            )
        if self.value_range is None and (kind == "f" or bits > FULL_RANGE_BITS):
            words = "floating-point" if kind == "f" else "whole"
            raise OtherPixelsError(
                f"{source}: holds {words} numbers of {bits} bits ({stored.dtype}), which have no "
                "usual range",
                "set data.value_range=[LOW, HIGH] to the values that are to be black and white",
            )

    def _check_channels(self, count: int, source: str) -> None:
        holds = f"{source}: holds {count} channel{'s' * (count > 1)}"
        if self.channels is None and count not in (1, 3):
            first = ", ".join(map(str, range(min(count, 3))))
            raise OtherPixelsError(
                f"{holds}; without data.channels only greyscale and RGB can be used",
                f"set data.channels=all for all of them, or data.channels=[{first}] for some",
            )
        if isinstance(self.channels, int) and self.channels != count:
            raise DataError(
                f"{holds}, and not {self.channels} as the other images, or data.channels, have; "
                "save all images with the same channels, or choose some with data.channels=[0, ...]"
            )
        if isinstance(self.channels, tuple) and max(self.channels) >= count:
            raise DataError(
                f"{holds}, numbered from 0; data.channels names channel {max(self.channels)}"
            )

    def apply(self, values: np.ndarray, source: str, declared: float | None = None) -> np.ndarray:
        """Return the values that networks see.

        Args:
            values: of a file that passes `check`, (H, W, C).
            source: the file, for messages.
            declared: the value that the file itself names for pixels without data.

        Returns:
            uint8 or float32 (H, W, N), from 0 to 255.

        Raises:
            DataError: there are pixels without data and the rule does not name them, or values far
                outside the value range.
        """
        chosen = self._chosen(values)
        void = self._void(chosen)
        if void is None:
            _refuse_nodata(chosen, source, declared)
        low, high = self._range(chosen.dtype)
        if chosen.dtype == np.uint8 and (low, high) == (0.0, WHITE):
            scaled = chosen
        else:
            self._refuse_far_values(chosen, void, source)
            is_narrow = chosen.dtype.itemsize <= 2
            precise = chosen.astype(np.float32) if is_narrow else chosen.astype(np.float64)
            scaled = (precise - low) * (WHITE / (high - low))
            scaled = np.clip(scaled, 0, WHITE).astype(np.float32)
        if void is not None:
            scaled = np.where(void[..., None], scaled.dtype.type(0), scaled)
        if self.channels is None and scaled.shape[2] == 1:
            scaled = np.repeat(scaled, 3, axis=2)
        return np.ascontiguousarray(scaled)

    def used_range(self, values: np.ndarray) -> UsedRange | None:
        """Return what is used of a range that no setting gives; None for 8 bits, and other types.

        Args:
            values: of a file that passes `check`, (H, W, C).
        """
        bits = 8 * values.dtype.itemsize
        if self.value_range is not None or values.dtype.kind not in "iu" or bits <= 8:
            return None
        extremes: list[float] = []
        for strip in strips_of(values):
            with_data = self._with_data(strip)
            if with_data.size:
                extremes += [float(with_data.min()), float(with_data.max())]
        if not extremes:
            return None
        return UsedRange(values.dtype.newbyteorder("="), min(extremes), max(extremes))

    def clipped_share(self, values: np.ndarray) -> float:
        """Return the share of values outside `data.value_range`, of those that are data.

        Args:
            values: of a file that passes `check`, (H, W, C).
        """
        if self.value_range is None:
            return 0.0
        low, high = self.value_range
        num_clipped = num_values = 0
        for strip in strips_of(values):
            with_data = self._with_data(strip)
            num_clipped += int(((with_data < low) | (with_data > high)).sum())
            num_values += with_data.size
        return num_clipped / max(1, num_values)

    def void(self, values: np.ndarray) -> np.ndarray:
        """Return where there is no data, bool (H, W).

        That is where all chosen channels hold `nodata`, or any of them is not a number.

        Args:
            values: of a file, (H, W, C).
        """
        void = self._void(self._chosen(values))
        return np.zeros(values.shape[:2], dtype=bool) if void is None else void

    def _void(self, values: np.ndarray) -> np.ndarray | None:
        if self.nodata is None:
            return None
        void = _not_numbers(values)
        if not math.isnan(self.nodata):
            # A float32 raster holds the nearest float32 number to what the setting says.
            is_float32 = values.dtype == np.float32
            nodata = np.float32(self.nodata) if is_float32 else self.nodata
            void |= (values == nodata).all(axis=2)
        return void

    def _with_data(self, values: np.ndarray) -> np.ndarray:
        """Return the chosen channels of the pixels with data, (n, N)."""
        chosen = self._chosen(values)
        return chosen if self.nodata is None else chosen[~self.void(values)]

    def _chosen(self, values: np.ndarray) -> np.ndarray:
        return values[..., list(self.channels)] if isinstance(self.channels, tuple) else values

    def _range(self, dtype: np.dtype) -> tuple[float, float]:
        if self.value_range is not None:
            return self.value_range
        limits = np.iinfo(dtype)
        return float(limits.min), float(limits.max)

    def _refuse_far_values(self, values: np.ndarray, void: np.ndarray | None, source: str) -> None:
        """Refuse values that lie outside the range by more than its width."""
        if self.value_range is None:
            return
        low, high = self.value_range
        width = high - low
        far = (values < low - width) | (values > high + width)
        if void is not None:
            far &= ~void[..., None]
        if far.any():
            example = values[far][0]
            remedy = (
                f"if that means no data, set data.nodata={example:g}, else correct the range"
                if np.isfinite(example)
                else "save nan in its place and set data.nodata=nan"
            )
            raise DataError(
                f"{source}: {int(far.sum())} values lie far outside data.value_range "
                f"[{low:g}, {high:g}], such as {example:g}; {remedy}"
            )


PLAIN = PixelRule()
"""Greyscale and colour images, each value scaled by the range of its type."""


def _not_numbers(values: np.ndarray) -> np.ndarray:
    """Return where any channel is not a number, bool (H, W)."""
    if values.dtype.kind != "f":
        return np.zeros(values.shape[:2], dtype=bool)
    found: np.ndarray = np.isnan(values).any(axis=2)
    return found


def _refuse_nodata(values: np.ndarray, source: str, declared: float | None) -> None:
    """Refuse pixels without data that no setting names."""
    if values.dtype.kind == "f" and (num_void := int(_not_numbers(values).sum())):
        raise DataError(
            f"{source}: {num_void} pixels are not numbers (NaN); if they mean that there is no "
            "data, set data.nodata=nan, and their labels are ignored"
        )
    if declared is None or math.isnan(declared):
        return
    if num_void := int((values == declared).all(axis=2).sum()):
        raise DataError(
            f"{source}: {num_void} pixels hold {declared:g}, which the file says means no data; "
            f"set data.nodata={declared:g}, and their labels are ignored"
        )


def to_picture(image: np.ndarray, positions: tuple[int, ...]) -> np.ndarray:
    """Return an image as people are shown it.

    Args:
        image: what networks see, uint8 or float32 (H, W, N), from 0 to 255.
        positions: of the channels that are shown, one (as grey) or three.

    Returns:
        uint8 (H, W, 3).
    """
    if image.dtype == np.uint8 and image.shape[2] == 3 and positions == (0, 1, 2):
        return image
    chosen = image[..., list(positions)]
    if chosen.shape[2] == 1:
        chosen = np.repeat(chosen, 3, axis=2)
    return np.ascontiguousarray(np.rint(chosen).astype(np.uint8))
