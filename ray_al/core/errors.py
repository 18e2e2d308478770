"""One tree of errors. Each says what happened, the value seen and what to do next, and survives pickling."""

from collections.abc import Mapping


class RayALError(Exception):
    """A failure of a run that its user can act on."""

    exit_code = 1


class ConfigError(RayALError):
    """A setting, a command line or an input that cannot work; found before any work starts."""

    exit_code = 2


class Interrupted(RayALError):
    """Somebody asked for a clean end; what was recorded stands."""

    exit_code = 130


class ClusterError(RayALError):
    """A cluster that does not answer, does not start what a run needs, or was lost; the run can be resumed."""


class DataError(RayALError):
    """An image, a mask or a label that cannot be used: it is broken, or surely missing."""


class BrokenImagesError(DataError):
    """Images of the pool that turned out unusable in the middle of work.

    Args:
        images: image_id -> what is wrong.
    """

    def __init__(self, images: Mapping[str, str]) -> None:
        super().__init__(images)
        self.images = images

    def __str__(self) -> str:
        return "; ".join(f"{image_id}: {error}" for image_id, error in self.images.items())


class StorageError(RayALError):
    """Storage that cannot do what a ledger needs, or a file that is not what its event says."""


class ReadError(StorageError):
    """A file that could not be read just now. It may be whole, so that nothing is concluded about it."""


class StoreUnavailableError(StorageError):
    """A store that does not answer now, and may answer later."""


class RunHeldError(RayALError):
    """Another driver holds the run."""

    exit_code = 3


class DivergedError(RayALError):
    """A loss, a weight or an output of a network that is not a finite number."""


class VerifyError(RayALError):
    """The run directory contradicts itself."""
