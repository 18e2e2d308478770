"""Settle settings of `data` that follow from the files: the number of channels, mean and spread."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from ray_al.core.config import RunConfig, parse_config
from ray_al.core.errors import ConfigError, DataError
from ray_al.core.reading import retried
from ray_al.datasets.catalog import Dataset, open_dataset
from ray_al.datasets.images import read_image, read_image_size, read_void
from ray_al.datasets.pictures import from_stream
from ray_al.datasets.pixels import WHITE, PixelRule
from ray_al.datasets.rasters import read_stored, read_values
from ray_al.datasets.read import read_data
from ray_al.datasets.tiles import Tiling
from ray_al.datasets.whole import forget_files

NUM_MEASURED = 64
"""Number of pool images, spread over all of them, that mean and spread are measured on."""
DIGITS = 6


def with_channels(config: RunConfig) -> RunConfig:
    """Return `config` with the number of channels in place of `data.channels=all`.

    It is that of the first image of the pool whose header can be read; all others must have as
    many.

    Raises:
        ConfigError: no image can be read, or other settings do not fit the number.
    """
    if config.data.channels != "all":
        return config
    errors: list[str] = []
    dataset = open_dataset(config.data, asks_people=config.label.validation)
    for file in dataset.splits["train"]:
        try:
            stored = from_stream(file.uri, partial(read_stored, source=file.uri))
        except DataError as error:
            errors.append(str(error))
            continue
        return _changed(config, {"channels": stored.channels}, source=file.uri)
    raise ConfigError(f"data.channels=all: no image of the pool can be read, such as {errors[0]}")


def with_statistics(config: RunConfig, dataset: Dataset) -> RunConfig:
    """Return `config` with mean and standard deviation in place of `data.normalize=measured`.

    Raises:
        ConfigError: no image of the sample can be read, or a channel never varies.
    """
    if config.data.normalize != "measured":
        return config
    count, total, squares = 0, np.zeros(0), np.zeros(0)
    tiling = Tiling.of(config.data)
    for values in _sample(dataset) if tiling is None else _sample_of_tiles(dataset, tiling):
        if not count:
            total, squares = np.zeros(values.shape[1]), np.zeros(values.shape[1])
        count += len(values)
        total += values.sum(axis=0)
        squares += np.square(values).sum(axis=0)
    if not count:
        raise ConfigError("data.normalize=measured: no image of the sample of the pool can be read")
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    constant = np.flatnonzero(std < 10.0**-DIGITS)
    if len(constant):
        raise ConfigError(
            f"data.normalize=measured: channel {constant[0]} of those that the network sees has "
            "the same value everywhere; leave it out of data.channels, or correct data.value_range"
        )
    measured = {
        "mean": [round(float(value), DIGITS) for value in mean],
        "std": [round(float(value), DIGITS) for value in std],
    }
    return _changed(config, {"normalize": measured}, source="data.normalize=measured")


def _sample(dataset: Dataset) -> Iterator[np.ndarray]:
    """Yield the values of pixels with data of some pool images, float64 (n, C), from 0 to 1."""
    pool, rule = dataset.splits["train"], dataset.pixels
    step = max(1.0, len(pool) / NUM_MEASURED)
    for position in range(min(len(pool), NUM_MEASURED)):
        uri = pool[int(position * step)].uri
        try:
            data = read_data(uri)
            shares = retried(uri, partial(_shares, data, uri, rule), (MemoryError,))
        except DataError:
            continue  # whatever is wrong with it is said where the pool is checked
        yield shares


def _sample_of_tiles(dataset: Dataset, tiling: Tiling) -> Iterator[np.ndarray]:
    """Yield the same of tiles of some pool images; whole ones would not fit into memory."""
    pool, rule = dataset.splits["train"], dataset.pixels
    count = min(len(pool), NUM_MEASURED)
    most = -(-NUM_MEASURED // count)
    for position in range(count):
        uri = pool[position * len(pool) // count].uri
        try:
            tiles = tiling.tiles(read_image_size(uri, rule))
            for number in range(0, len(tiles), -(-len(tiles) // most)):
                part = tiles[number].uri(uri)
                with_data = read_image(part, rule)[~read_void(part, rule)]
                yield with_data.astype(np.float64) / WHITE
        except DataError:
            continue  # whatever is wrong with it is said where the pool is checked
    forget_files()


def _shares(data: bytes, uri: str, rule: PixelRule) -> np.ndarray:
    """Return the values of the pixels with data of an image, float64 (n, C), from 0 to 1."""
    stored, values, declared = read_values(data, uri, rule.channels)
    rule.check(stored, uri)
    scaled = rule.apply(values, uri, declared)
    shares: np.ndarray = scaled[~rule.void(values)].astype(np.float64) / WHITE
    return shares


def _changed(config: RunConfig, changes: Mapping[str, Any], *, source: str) -> RunConfig:
    values = config.model_dump(mode="json")
    values["data"].update(changes)
    return parse_config(values, source=source)
