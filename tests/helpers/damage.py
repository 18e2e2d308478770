"""Ways in which files are damaged, each drawn from a generator."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Damage = Callable[[np.random.Generator, bytes], bytes]
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    1e308,
    float("nan"),
    float("inf"),
    10**30,
    "",
    "x",
    "../a",
    "\x00",
    "\ud800",
    [],
    {},
    [[]],
    {"a": 1},
    "é" * 300,
)


def damage(rng: np.random.Generator, data: bytes, others: Sequence[bytes]) -> bytes:
    """`data` changed in one to three ways, or another file in its place."""
    if rng.random() < 0.04:
        return others[int(rng.integers(len(others)))]
    for _ in range(int(rng.integers(1, 4))):
        data = WAYS[int(rng.integers(len(WAYS)))](rng, data)
    return data


def _place(rng: np.random.Generator, data: bytes) -> int:
    """Headers come first in most files, and are hit more often."""
    return int(rng.integers(0, min(len(data), 200) + 1 if rng.random() < 0.5 else len(data) + 1))


def _slice(rng: np.random.Generator, data: bytes) -> tuple[int, int]:
    start = _place(rng, data)
    return start, min(len(data), start + int(rng.integers(1, 40)))


def flip_bits(rng: np.random.Generator, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 6)) if data else 0):
        changed[min(_place(rng, data), len(data) - 1)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def set_bytes(rng: np.random.Generator, data: bytes) -> bytes:
    start, stop = _slice(rng, data)
    value = (b"\x00", b"\xff", rng.bytes(1))[int(rng.integers(3))]
    return data[:start] + value * (stop - start) + data[stop:]


def cut_end(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: _place(rng, data)]


def cut_out(rng: np.random.Generator, data: bytes) -> bytes:
    start, stop = _slice(rng, data)
    return data[:start] + data[stop:]


def put_in(rng: np.random.Generator, data: bytes) -> bytes:
    start = _place(rng, data)
    return data[:start] + rng.bytes(int(rng.integers(1, 20))) + data[start:]


def repeat(rng: np.random.Generator, data: bytes) -> bytes:
    start, stop = _slice(rng, data)
    return data[:stop] + data[start:]


def swap(rng: np.random.Generator, data: bytes) -> bytes:
    first, second = sorted((_slice(rng, data), _slice(rng, data)))
    if first[1] > second[0]:
        return data[first[0] :]
    return (
        data[: first[0]]
        + data[slice(*second)]
        + data[first[1] : second[0]]
        + data[slice(*first)]
        + data[second[1] :]
    )


def add_end(rng: np.random.Generator, data: bytes) -> bytes:
    return data + (b"\x00" * 8, b"\n", data[-30:], b"]")[int(rng.integers(4))]


def change_json(rng: np.random.Generator, data: bytes) -> bytes:
    """Another value of another type somewhere in a JSON file; bits of any other file."""
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return flip_bits(rng, data)
    places = list(_places(values))
    new = VALUES[int(rng.integers(len(VALUES)))]
    if not places:
        return json.dumps(new).encode()
    holder, key = places[int(rng.integers(len(places)))]
    if rng.random() < 0.3:
        del holder[key]
    else:
        holder[key] = new
    return json.dumps(values).encode()


def _places(value: Any) -> Any:
    """(holder, key) of everything inside a JSON value."""
    items = (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value))
        if isinstance(value, list)
        else []
    )
    for key, inner in items:
        yield value, key
        yield from _places(inner)


WAYS: tuple[Damage, ...] = (
    flip_bits,
    set_bytes,
    cut_end,
    cut_out,
    put_in,
    repeat,
    swap,
    add_end,
    change_json,
    change_json,
)
