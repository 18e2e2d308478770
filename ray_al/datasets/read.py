"""Read the files of a data set and distinguish missing ones from failing reads.

A missing file is a fault of the data; a failing disk or network is not.
"""

from ray_al.core.errors import DataError
from ray_al.core.reading import ABSENT, read_uri


def read_data(uri: str) -> bytes:
    """Return the bytes of an image or a mask.

    Raises:
        DataError: there is no such file.
        ReadError: it could not be read just now, even after several attempts.
    """
    try:
        return read_uri(uri)
    except ABSENT:
        raise DataError(f"{uri}: the file is missing; put it back") from None
