"""One tree of errors. Each says what happened, the value seen and what to do next, in one message, so that it pickles."""


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
    """An image, a mask or a label that cannot be used."""


class StorageError(RayALError):
    """Storage that cannot do what a ledger needs, or a file that is not what its event says."""


class RunHeldError(RayALError):
    """Another driver holds the run."""

    exit_code = 3


class VerifyError(RayALError):
    """The run directory contradicts itself."""
