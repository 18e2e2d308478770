"""The tree of errors.

Each message says what happened, the value seen and what to do next; each error survives pickling.
"""

from collections.abc import Mapping


class RayALError(Exception):
    """A failure that the user of a run can act on."""

    exit_code = 1


class ConfigError(RayALError):
    """A setting, a command line or an input that cannot work; found before any work starts."""

    exit_code = 2


class Interrupted(RayALError):
    """A clean end on request; everything recorded so far is kept."""

    exit_code = 130


class ClusterError(RayALError):
    """A cluster that does not answer, does not start what a run needs, or was lost.

    The run can be resumed.
    """


class DataError(RayALError):
    """An image, a mask or a label that cannot be used: it is broken, or certainly missing."""


class BrokenImagesError(DataError):
    """Images of the pool that turned out to be unusable in the middle of work.

    Args:
        images: image_id -> the reason.
    """

    def __init__(self, images: Mapping[str, str]) -> None:
        super().__init__(images)
        self.images = images

    def __str__(self) -> str:
        return "; ".join(f"{image_id}: {error}" for image_id, error in self.images.items())


class StorageError(RayALError):
    """Storage that lacks what a journal needs, or a file that differs from its record."""


class ReadError(StorageError):
    """A file that could not be read just now; it may be whole, so nothing is concluded about it."""


class StoreUnavailableError(StorageError):
    """A store that does not answer now, and may answer later."""


class RunHeldError(RayALError):
    """Another driver holds the run."""

    exit_code = 3


class DivergedError(RayALError):
    """A loss, a weight or an output of a network that is not a finite number."""


class VerifyError(RayALError):
    """The run directory contradicts itself."""
