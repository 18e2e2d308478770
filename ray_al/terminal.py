"""What commands share: how they show progress, stop on signals and print errors."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from ray_al.core.errors import ConfigError, RayALError

EXIT_INTERRUPTED = 130


class Group(click.Group):
    """Prints our own errors as one line and ends with their exit code; an interruption is one line too."""

    def invoke(self, context: click.Context) -> Any:
        try:
            with _interrupt_on_sigterm():
                return super().invoke(context)
        except RayALError as error:
            click.echo(f"error: {error}", err=True)
            context.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            context.exit(EXIT_INTERRUPTED)


@contextmanager
def _interrupt_on_sigterm() -> Iterator[None]:
    """SIGTERM does inside what Ctrl-C does: what is half made is cleared away before the process ends."""

    def handle(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def place(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """A place as it was meant: `~` is the home directory, and no text is no place."""
    if isinstance(value, tuple):
        return tuple(place(context, parameter, one) for one in value)
    if value is None or "://" in value:
        return value
    if not value.strip():
        name = parameter.human_readable_name if isinstance(parameter, click.Argument) else parameter.opts[0]
        raise ConfigError(f"{name} is empty; give a place")
    return os.path.expanduser(value)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Progress on standard error: one line that changes on a terminal, one line a stage elsewhere."""
    shown = [""]
    on_terminal = sys.stderr.isatty()

    def show(line: str) -> None:
        key = line if on_terminal else line.split("/")[0].rstrip("0123456789 ")
        if key == shown[0]:
            return
        shown[0] = key
        click.echo(f"\r\x1b[K{line}" if on_terminal else line, err=True, nl=not on_terminal)

    yield show
    if on_terminal and shown[0]:
        click.echo("", err=True)


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """SIGINT and SIGTERM ask for a clean end between two steps; a second one ends at once."""
    stop = threading.Event()

    def handle(number: int, frame: Any) -> None:
        if stop.is_set():
            os._exit(EXIT_INTERRUPTED)
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
