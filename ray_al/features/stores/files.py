"""Store features in files, in the run directory or in a folder that several runs share."""

import functools
from typing import Annotated, Literal

from pydantic import Field

from ray_al.core.places import before_work
from ray_al.core.section import Count, Positive
from ray_al.core.storage import Storage, check_writable, join_uri
from ray_al.core.variants import Store
from ray_al.features.files import ShardFiles


class FileStore(Store):
    """A file for some images and one view of each."""

    kind: Literal["files"] = "files"
    root: Annotated[str, Field(min_length=1)] | None = None
    """Path or URI of a folder that several runs may share; null is `features` in the run directory.
    """
    limit_gb: Positive = 20.0
    """Largest size in GB of what is kept of a pool; the rest is computed where it is needed."""
    least_passes: Count = 2
    """Smallest number of passes over its pool for which a run stores features; others compute them
    where they are needed.
    """

    def keeps(self, num_passes: int) -> bool:
        """As `Store.keeps`."""
        return num_passes >= self.least_passes

    def check(self) -> None:
        """As `Store.check`."""
        if self.root is not None:
            check_writable(self.root, key="features.store.root")
            with before_work("features.store.root"):
                Storage(self.root).probe()

    def open(self, run_uri: str) -> ShardFiles:
        """As `Store.open`."""
        return _open(self.root or join_uri(run_uri, "features"), int(self.limit_gb * 2**30))

    def below(self, folder: str) -> "FileStore":
        """As `Store.below`."""
        return self.model_copy(update={"root": self.root or join_uri(folder, "features")})


@functools.lru_cache(maxsize=4)
def _open(root: str, limit_bytes: int) -> ShardFiles:
    """Return the store of a folder, one per process, so that each record is verified only once."""
    return ShardFiles(root, limit_bytes)
