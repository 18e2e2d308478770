"""Features in files, beside the run or in a folder that several runs share."""

from typing import Annotated, Literal

from pydantic import Field

from ray_al.core.section import Positive
from ray_al.core.variants import Store


class FileStore(Store):
    """A file for some images and one view of each."""

    kind: Literal["files"] = "files"
    root: Annotated[str, Field(min_length=1)] | None = None
    """A folder, path or URI, that several runs may share; default: `features` in the run directory."""
    limit_gb: Positive = 20.0
    """At most so much is kept; what is beyond is computed where it is needed."""

    def open(self, run_uri: str) -> None:
        """As `Store.open`."""
