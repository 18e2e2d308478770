"""Damaged files are refused by an error of the package, or read right; nothing else is raised."""

import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.damage import damage
from helpers.damaged_readers import Reader, all_readers
from helpers.data_readers import data_readers

from ray_al.core.errors import RayALError

SEED = 20_261_126
FEW, MANY = 300, 20_000
LONGEST_S = 20


@contextmanager
def time_limit() -> Iterator[None]:
    """A file that makes a reader wait or work for ever is a fault too."""

    def stop(number: int, frame: Any) -> None:
        raise TimeoutError(f"not read within {LONGEST_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fault_of(reader: Reader, truth: Any, path: Path, data: bytes, *, exact: bool) -> str | None:
    """Return the fault in how the damaged file is read, or None.

    Args:
        exact: whether a file that is read without an error must have its original content.
    """
    path.write_bytes(data)
    try:
        with time_limit(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = reader.read()
    except RayALError:
        return None
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        path.write_bytes(reader.contents[path])
    same = value is None or not exact or np.array_equal(np.asarray(value), np.asarray(truth))
    return None if same else "read without an error, and wrong"


def fuzz(root: Path, count: int, *, sweeps: bool = False) -> dict[str, str]:
    """Damage `count` files; the first fault of each kind, by reader and kind."""
    readers = [*all_readers(root, sweeps=sweeps), *data_readers(root)]
    truths = [reader.read() for reader in readers]
    contents = [data for reader in readers for data in reader.contents.values()]
    faults: dict[str, str] = {}
    for number in range(count):
        rng = np.random.default_rng([SEED, number])
        reader, truth = readers[number % len(readers)], truths[number % len(readers)]
        path = reader.files[int(rng.integers(len(reader.files)))]
        data = damage(rng, reader.contents[path], contents)
        if data == reader.contents[path]:
            continue
        fault = fault_of(
            reader, truth, path, data, exact=reader.exact and data not in contents
        )  # a whole file in its place is not damaged
        if fault is not None:
            faults.setdefault(
                f"{reader.name}: {fault.split(':')[0]}",
                f"file {number}, {path.name}: {fault[:300]}",
            )
    return faults


def test_damaged_files_are_refused_or_read_right(tmp_path):
    assert fuzz(tmp_path, FEW) == {}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_damaged_files_are_refused_or_read_right(tmp_path):
    assert fuzz(tmp_path, MANY, sweeps=True) == {}
