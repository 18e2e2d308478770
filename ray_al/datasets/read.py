"""The files of a data set as bytes: a file that is missing is a fault of the data, one that cannot be read just now is not."""

from ray_al.core.errors import DataError
from ray_al.core.reading import ABSENT, read_uri


def read_data(uri: str) -> bytes:
    """The bytes of an image or a mask.

    Raises:
        DataError: there is no such file.
        ReadError: it could not be read just now, also not when it was tried again.
    """
    try:
        return read_uri(uri)
    except ABSENT:
        raise DataError(f"{uri}: the file is missing; put it back") from None
