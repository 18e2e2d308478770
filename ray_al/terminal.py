"""What commands share: how they show progress, stop on signals and print errors."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from ray_al.core.errors import ConfigError, Interrupted, RayALError

EXIT_INTERRUPTED = 130
STOP_S = 8.0
"""How long a command may take to end cleanly after the first signal."""


class Group(click.Group):
    """Prints our own errors as one line and ends with their exit code; an interruption is one line too."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        called = bool(arguments) or options.get("args") is not None
        try:
            with ends_on_signals(
                process=not called
            ):  # called with arguments, a command is a part of some other program
                return super().main(*arguments, **options)
        except KeyboardInterrupt:  # while our handlers were put in place or taken back
            if called:
                raise
            _say_interrupted()
            sys.exit(EXIT_INTERRUPTED)

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        try:
            return super().make_context(*arguments, **options)
        except KeyboardInterrupt:
            _say_interrupted()
            raise click.exceptions.Exit(EXIT_INTERRUPTED) from None

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            _say_interrupted()
            context.exit(EXIT_INTERRUPTED)
        except Interrupted as error:
            click.echo(str(error), err=True)
            context.exit(error.exit_code)
        except RayALError as error:
            click.echo(f"error: {error}", err=True)
            context.exit(error.exit_code)


def _say_interrupted() -> None:
    """Say it in one line, and have Python forget it.

    Where the interrupt came while text was executed (a dataclass is made so), Python remembers it as one that nobody caught, though we did, and
    ends the process by SIGINT in place of its exit code. It forgets when it next executes text.
    """
    exec("")
    click.echo("interrupted", err=True)


def place(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """A place as it was meant: `~` is the home directory, and no text is no place."""
    if isinstance(value, tuple):
        return tuple(place(context, parameter, one) for one in value)
    if value is None or "://" in value:
        return value
    if not value.strip():
        name = (
            parameter.human_readable_name
            if isinstance(parameter, click.Argument)
            else parameter.opts[0]
        )
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
def ends_on_signals(*, process: bool) -> Iterator[None]:
    """SIGINT and SIGTERM end the command: by KeyboardInterrupt, and in any case `STOP_S` after the first, or at the second.

    Args:
        process: whether the process ends with the command, so that its end after a signal is seen to as well.

    Python runs its handlers between two steps of the main thread alone, which may be long inside a library's call: so a thread hears of each
    signal too, through the file descriptor that Python writes to at once. Nothing that was recorded is lost by an end at any moment.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    known = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    before = {
        number: signal.signal(number, signal.default_int_handler)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    caught = threading.Event()
    thread = threading.Thread(
        target=_end_late, args=(reader, caught), daemon=True, name="ray-al-signals"
    )
    thread.start()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(known)
        if not (
            process and caught.is_set()
        ):  # else the thread also sees to it that the process ends
            os.close(writer)
            thread.join()
            os.close(reader)


def _end_late(reader: int, signalled: threading.Event) -> None:
    """End the process after the first of our signals, unless `reader` ends before."""
    import select

    deadline: float | None = None
    while True:
        ready, _, _ = select.select([reader], [], [], deadline)
        numbers = os.read(reader, 64) if ready else None
        if numbers == b"":
            return
        caught = sum(number in (signal.SIGINT, signal.SIGTERM) for number in numbers or b"")
        if numbers is None or caught > 1 or (caught and deadline is not None):
            sys.stderr.write("interrupted; nothing that was recorded is lost\n")
            sys.stderr.flush()
            os._exit(EXIT_INTERRUPTED)
        if caught:
            signalled.set()
            deadline = STOP_S


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """SIGINT and SIGTERM ask for a clean end between two steps."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda number, frame: stop.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
