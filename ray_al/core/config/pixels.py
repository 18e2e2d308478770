"""Settings of `data` that say what the values of an image mean, and how they are normalized."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ray_al.core.section import Section

MAX_CHANNELS = 1024
ChannelNumber = Annotated[int, Field(ge=0, lt=MAX_CHANNELS)]
"""The number of a channel of a file, from 0."""


def _each_once(numbers: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(numbers)) != len(numbers):
        raise ValueError("names a channel twice; give each channel once")
    return numbers


def _one_or_three(numbers: tuple[int, ...]) -> tuple[int, ...]:
    if len(numbers) not in (1, 3):
        raise ValueError(
            f"{len(numbers)} channels; give one (shown in grey) or three (red, green and blue)"
        )
    return numbers


def _rising(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] >= bounds[1]:
        raise ValueError("its first value must be below its second one")
    return bounds


ChannelChoice = (
    Literal["all"]
    | Annotated[int, Field(ge=1, le=MAX_CHANNELS)]
    | Annotated[tuple[ChannelNumber, ...], Field(min_length=1), AfterValidator(_each_once)]
    | None
)
"""All channels, all of a given number of channels, chosen ones, or grey and colour (None)."""
DisplayChannels = Annotated[tuple[ChannelNumber, ...], AfterValidator(_one_or_three)] | None
ValueRange = Annotated[tuple[float, float], AfterValidator(_rising)]
NoData = float | Literal["nan"]
Spread = Annotated[float, Field(gt=0, le=1e9)]


class ChannelStatistics(Section):
    """Mean and standard deviation of each channel, where 0 is black and 1 is white."""

    mean: Annotated[tuple[float, ...], Field(min_length=1)]
    """Mean of each channel."""
    std: Annotated[tuple[Spread, ...], Field(min_length=1)]
    """Standard deviation of each channel."""


Normalize = Literal["imagenet", "none", "measured"] | ChannelStatistics


def number_of_channels(channels: ChannelChoice) -> int:
    """Return how many channels a network sees.

    Raises:
        ValueError: that is known only from the files (`all`).
    """
    if channels is None:
        return 3
    if isinstance(channels, str):
        raise ValueError("data.channels 'all' has not been counted yet")
    return channels if isinstance(channels, int) else len(channels)


def check_display(channels: ChannelChoice, shown: tuple[int, ...] | None) -> None:
    """Refuse channels for people that are not among those of the network.

    Raises:
        ValueError: naming the number.
    """
    if shown is None or isinstance(channels, str):
        return
    known = channels if isinstance(channels, tuple) else range(number_of_channels(channels))
    for number in shown:
        if number not in known:
            raise ValueError(
                f"display_channels names channel {number}, which is not among data.channels; "
                f"name some of {list(known)}"
            )


def check_normalize(channels: ChannelChoice, normalize: Normalize) -> None:
    """Refuse statistics of another number of channels than the network sees.

    Raises:
        ValueError: naming both numbers.
    """
    if isinstance(channels, str) or normalize in ("none", "measured"):
        return
    count = number_of_channels(channels)
    if isinstance(normalize, ChannelStatistics):
        for name, values in (("mean", normalize.mean), ("std", normalize.std)):
            if len(values) != count:
                raise ValueError(
                    f"normalize.{name} has {len(values)} values, the network sees {count} "
                    "channels; give one value per channel"
                )
    elif count != 3:
        raise ValueError(
            f"normalize 'imagenet' knows three channels, the network sees {count}; set "
            "data.normalize to measured, to {mean: [...], std: [...]} or to none"
        )


def shown_positions(channels: ChannelChoice, shown: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return where the channels for people stand among those that the network sees.

    Returns:
        One position or three.
    """
    count = number_of_channels(channels)
    if shown is None:
        return (0, 1, 2) if count >= 3 else (0,)
    if not isinstance(channels, tuple):
        return shown
    return tuple(channels.index(channel) for channel in shown)
