"""New directories that exactly one process fills: with a run, or with a sweep."""

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from shlex import quote

from ray_al.core.errors import ConfigError
from ray_al.core.notes import read_note
from ray_al.core.process import is_running, this_process
from ray_al.core.storage import Storage

CLAIM = ".making.json"
"""File that exists while a directory is filled; it names the process that does so."""
SETTLE_S = 1.0
"""Longest wait for the claim of a process that has just created the directory."""


@dataclass(frozen=True)
class Kind:
    """The kind of thing that is made in a directory.

    Attributes:
        noun: its name in messages.
        last: the file that is written last; with it the directory is complete.
        resume: the command that then continues it.
    """

    noun: str
    last: str
    resume: str


def check_new(storage: Storage, out: str, kind: Kind) -> None:
    """Refuse a directory that exists.

    Raises:
        ConfigError: with a remedy that fits the directory's content.
    """
    if storage.exists():
        _settle(storage)
        raise ConfigError(f"--out {out}: {_what_is_there(storage, out, kind)}")


@contextlib.contextmanager
def making(storage: Storage, out: str, kind: Kind) -> Iterator[None]:
    """Fill a new directory inside the block, which must write `kind.last` at its end.

    One process at a time gets inside, and none once the directory is complete. Files that are
    created there (`Storage.create`) replace nothing. If the block fails or is interrupted before
    `kind.last` is written, the files that it wrote are removed.

    Raises:
        ConfigError: another process is making the directory, or has made it since `check_new`;
            all files of that process are kept.
    """
    claim = json.dumps({**this_process(), "token": secrets.token_hex(8)}).encode()
    try:
        storage.create_own(CLAIM, claim)
        if storage.exists(kind.last):
            raise ConfigError(
                f"--out {out}: another process has made a {kind.noun} there in the meantime; "
                f"give a new directory, or look at that one with `ray-al status {quote(out)}`"
            )
        yield
    except FileExistsError:
        raise ConfigError(f"--out {out}: {_what_is_there(storage, out, kind)}") from None
    finally:
        if storage.read_if_there(CLAIM) == claim:
            _leave(storage, kind)


def _leave(storage: Storage, kind: Kind) -> None:
    """Release the directory.

    Incomplete content is removed first, since the claim keeps others out until it is gone itself.
    """
    if not storage.exists(kind.last):
        for name in storage.list(""):
            if name != CLAIM:
                storage.remove(name)
    storage.remove(CLAIM)
    if storage.is_local:
        # The folder stays if it holds what was made, or what another process has begun since.
        with contextlib.suppress(OSError):
            os.rmdir(storage.base)


def _settle(storage: Storage) -> None:
    """Wait a moment while the directory is empty.

    A directory appears before its claim does; without the wait it would be taken for the remains of
    an interrupted process.
    """
    deadline = time.monotonic() + SETTLE_S
    while (
        all(name.startswith(f".{CLAIM}.") for name in storage.list(""))
        and time.monotonic() < deadline
    ):
        time.sleep(0.05)


def _what_is_there(storage: Storage, out: str, kind: Kind) -> str:
    """Return why the directory cannot be used, and the remedy."""
    # Read the claim before the look at `last`: it is removed once `last` exists.
    rest = unfinished(storage, kind)
    if storage.exists(kind.last):
        return f"exists already; give a new directory, or continue with `{kind.resume} {out}`"
    return f"exists already; give a new directory ({rest})"


def unfinished(storage: Storage, kind: Kind) -> str:
    """Return what a directory without `kind.last` is, and what to do with it."""
    maker = read_note(storage, CLAIM)
    rest = f"the rest of a {kind.noun} that was ended while it was made"
    if not maker:
        return f"if it is {rest}, delete it and start again"
    who = f"process {maker.get('pid')} on {maker.get('host')}"
    running = is_running(maker)
    if running:
        return f"{who} is making a {kind.noun} there at this moment"
    if running is None:
        return (
            f"{who} has begun to make a {kind.noun} there; once that process has ended without it, "
            "delete the directory and start again"
        )
    return f"it is {rest}, by {who}: delete it and start again"
