"""What an open store of features promises."""

from collections.abc import Sequence

import numpy as np


class RecordStore:
    """Records of shards under names. Two processes that write one name write the same bytes.

    A shard is a list of images, in their order, of which one view is kept. Its name follows from all
    that its records follow from, so that what stands under a name never changes.

    Attributes:
        limit_bytes: at most so much of one pool is kept.
        is_near: whether single rows are read about as fast as whole shards, and again as fast as
            from memory: on a disk they are, in an object store they are not.
    """

    limit_bytes: int
    is_near: bool = True

    def read(
        self, name: str, rows: Sequence[int], num_values: int
    ) -> list[np.ndarray | None] | None:
        """Records of the shard `name`, uint16 (num_values,) each, by their positions in it.

        A shard that is damaged is told of in a warning, and counts as one that is not there.

        Returns:
            None where the shard is not there; None in place of a record whose image could not be
            used when the shard was written.

        Raises:
            ReadError: the store could not be read just now.
        """
        raise NotImplementedError

    def write(self, name: str, records: np.ndarray, usable: np.ndarray) -> None:
        """Keep a shard, in place of what stands under its name.

        Args:
            records: uint16 (rows, num_values); rows of images that cannot be used hold anything.
            usable: bool (rows,).

        Raises:
            StorageError: it cannot be written; nothing half-written is left.
        """
        raise NotImplementedError

    def names(self, folder: str) -> set[str]:
        """Names of the shards that stand below `folder`, whole or damaged."""
        raise NotImplementedError

    def tidy(self) -> None:
        """Remove what killed writers left."""

    def free_bytes(self) -> int | None:
        """What there is room for; None where nobody knows."""
        return None
