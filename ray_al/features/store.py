"""The interface of an open store of features."""

from collections.abc import Sequence

import numpy as np


class RecordStore:
    """Keeps records in named shards.

    A shard holds the records of one view of a list of images, in their order. Its name is a digest
    of everything that determines the records, so the content of a name never changes, and two
    processes that write the same name write the same bytes.

    Attributes:
        limit_bytes: largest size of the features of one pool.
        is_near: whether reading single rows, again and again, is cheap: true for a disk, false for
            an object store.
    """

    limit_bytes: int
    is_near: bool = True

    def read(
        self, name: str, rows: Sequence[int], num_values: int
    ) -> list[np.ndarray | None] | None:
        """Read records of a shard.

        A damaged shard is reported as a warning and treated as missing.

        Args:
            name: name of the shard.
            rows: positions of the records in the shard.
            num_values: number of values in a record.

        Returns:
            One uint16 array (num_values,) per row, or None for an image that could not be used when
            the shard was written; None alone if the shard is missing.

        Raises:
            ReadError: the store cannot be read at the moment.
        """
        raise NotImplementedError

    def write(self, name: str, records: np.ndarray, usable: np.ndarray) -> None:
        """Write a shard, replacing one of the same name.

        Args:
            name: name of the shard.
            records: uint16 (rows, num_values); the rows of unusable images are not looked at.
            usable: bool (rows,), whether the image of a row can be used.

        Raises:
            StorageError: the shard cannot be written; no partial file is left.
        """
        raise NotImplementedError

    def names(self, folder: str) -> set[str]:
        """Return the names of all shards in `folder`, damaged ones included."""
        raise NotImplementedError

    def tidy(self) -> None:
        """Remove partial files that killed writers left."""

    def free_bytes(self) -> int | None:
        """Return the free space of the storage in bytes, or None if it is unknown."""
        return None
