"""Terminal behaviour that all commands share: progress, signals, errors."""

import os
import select
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


class CommandGroup(click.Group):
    """Print our own errors as one line and end with their exit code; an interruption likewise."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the command line; when called with arguments, as a part of another program."""
        called = bool(arguments) or options.get("args") is not None
        try:
            with ends_on_signals(process=not called):
                return super().main(*arguments, **options)
        except KeyboardInterrupt:  # while our handlers were put in place or taken back
            if called:
                raise
            _say_interrupted()
            sys.exit(EXIT_INTERRUPTED)

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Parse the arguments; an interruption meanwhile is one line."""
        try:
            return super().make_context(*arguments, **options)
        except KeyboardInterrupt:
            _say_interrupted()
            raise click.exceptions.Exit(EXIT_INTERRUPTED) from None

    def invoke(self, context: click.Context) -> Any:
        """Call the command, and turn our own errors into one line and their exit code."""
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
    """Print that the command was interrupted, and make Python forget the interrupt.

    If the interrupt came while text was executed (dataclasses are made from text), Python takes it
    for one that nobody caught, and ends the process by SIGINT instead of with its exit code. It
    forgets the interrupt when it executes text the next time.
    """
    exec("")
    click.echo("interrupted", err=True)


def place(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Return a place with `~` replaced by the home directory.

    Raises:
        ConfigError: the text is empty.
    """
    if isinstance(value, tuple):
        return tuple(place(context, parameter, item) for item in value)
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
def show_progress() -> Iterator[Callable[[str], None]]:
    """Show progress on standard error: a line that changes on a terminal, else a line per stage.

    Yields:
        The function that shows a line.
    """
    shown = [""]
    on_terminal = sys.stderr.isatty()

    def show(line: str) -> None:
        if line.endswith("\n"):  # to stay on the terminal
            click.echo(f"\r\x1b[K{line}" if on_terminal else line, err=True, nl=False)
            return
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
    """End the command on SIGINT or SIGTERM, within `STOP_S` of the first one, or at the second.

    The signal raises KeyboardInterrupt. Python runs its handlers only between two steps of the main
    thread, which may be inside a library's call for long. So a thread watches for signals as well,
    through the file descriptor to which Python writes at once, and ends the process if the command
    does not. Nothing that was recorded is lost, whatever the moment.

    Args:
        process: whether the process ends with the command. Then the thread keeps watching after a
            signal until the process has ended.
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
        thread_must_end_process = process and caught.is_set()
        if not thread_must_end_process:
            os.close(writer)
            thread.join()
            os.close(reader)


def _end_late(reader: int, signalled: threading.Event) -> None:
    """End the process `STOP_S` after the first of our signals, unless `reader` ends before."""
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
    """Let SIGINT and SIGTERM set an event, which asks for a clean end between two steps."""
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
