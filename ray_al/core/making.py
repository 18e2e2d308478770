"""New directories, of which one process alone makes something whole: a run, a sweep."""

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ray_al.core.errors import ConfigError
from ray_al.core.notes import read_note
from ray_al.core.process import is_running, this_process
from ray_al.core.storage import Storage

CLAIM = ".making.json"
"""There while a directory is filled; it names the process that does it."""
SETTLE_S = 1.0


@dataclass(frozen=True)
class Kind:
    """What is made. A directory is a `noun` once it has the file `last`, which is written last; `go_on` is the command that then carries it on."""

    noun: str
    last: str
    go_on: str


def check_new(storage: Storage, out: str, kind: Kind) -> None:
    """Refuse a directory that is there.

    Raises:
        ConfigError: with a remedy that fits what lies there.
    """
    if storage.exists():
        _settle(storage)
        raise ConfigError(f"--out {out}: {_what_is_there(storage, out, kind)}")


@contextlib.contextmanager
def making(storage: Storage, out: str, kind: Kind) -> Iterator[None]:
    """Fill a new directory inside; `kind.last` must be written by the end.

    One process at a time gets inside, and none where the directory is complete. Files that are created there (`Storage.create`) replace nothing.
    Where the block fails or is interrupted before `kind.last` is written, what it wrote is removed.

    Raises:
        ConfigError: another process is making the directory, or has made it since `check_new`; it keeps all its files.
    """
    claim = json.dumps({**this_process(), "token": secrets.token_hex(8)}).encode()
    try:
        storage.create_own(CLAIM, claim)
        if storage.exists(kind.last):
            message = f"another process has made a {kind.noun} there in the meantime; give a new directory"
            raise ConfigError(
                f"--out {out}: {message}, or look at that one with `ray-al status {out}`"
            )
        yield
    except FileExistsError:
        raise ConfigError(f"--out {out}: {_what_is_there(storage, out, kind)}") from None
    finally:
        if storage.read_if_there(CLAIM) == claim:
            _leave(storage, kind)


def _leave(storage: Storage, kind: Kind) -> None:
    """Give the directory free. What is not complete goes first: the claim keeps others out until then."""
    if not storage.exists(kind.last):
        for name in storage.list(""):
            if name != CLAIM:
                storage.remove(name)
    storage.remove(CLAIM)
    if storage.is_local:
        with contextlib.suppress(
            OSError
        ):  # it holds what was made, or what another process has begun since
            os.rmdir(storage.base)


def _settle(storage: Storage) -> None:
    """Wait a moment where nothing lies in the directory yet: it appears before the claim does, and would be taken for somebody's rest."""
    deadline = time.monotonic() + SETTLE_S
    while (
        all(name.startswith(f".{CLAIM}.") for name in storage.list(""))
        and time.monotonic() < deadline
    ):
        time.sleep(0.05)


def _what_is_there(storage: Storage, out: str, kind: Kind) -> str:
    rest = unfinished(
        storage, kind
    )  # before the look at `last`: the claim goes when `last` is there
    if storage.exists(kind.last):
        return f"exists already; give a new directory, or go on with `{kind.go_on} {out}`"
    return f"exists already; give a new directory ({rest})"


def unfinished(storage: Storage, kind: Kind) -> str:
    """What a directory is that has no `kind.last`, and what to do with it."""
    maker = read_note(storage, CLAIM)
    rest = f"the rest of a {kind.noun} that was ended while it was made"
    if not maker:
        return f"if it is {rest}, delete it and start again"
    who = f"process {maker.get('pid')} on {maker.get('host')}"
    running = is_running(maker)
    if running:
        return f"{who} is making a {kind.noun} there at this moment"
    if running is None:
        return f"{who} has begun to make a {kind.noun} there; once that process has ended without it, delete the directory and start again"
    return f"it is {rest}, by {who}: delete it and start again"
