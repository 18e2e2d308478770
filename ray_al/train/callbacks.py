"""Functions through which a training reports to its host and is stopped by it."""

from collections.abc import Callable

ProgressCallback = Callable[[int, int], None]
"""Called with the number of finished steps and of all steps."""

StopCallback = Callable[[], bool]
"""Called often; returns true to request a stop."""

WaitingCallback = Callable[[str], None]
"""Called with a one-line description of what a training waits for."""
