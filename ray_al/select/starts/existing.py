"""Start with the labels that exist."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from ray_al.core.errors import ConfigError
from ray_al.core.families.start import StartRule
from ray_al.datasets.findings import listed
from ray_al.datasets.listing import read_lines
from ray_al.datasets.tiles import image_of

if TYPE_CHECKING:
    from ray_al.core.config import RunConfig


class ExistingStart(StartRule):
    """Takes all regions of the images that are labelled already; nobody is asked for them."""

    kind: Literal["existing"] = "existing"
    paper: ClassVar[str] = "the masks of the pool that exist, as whole images"
    takes_existing: ClassVar[bool] = True
    counted: bool = True
    """Whether the existing labels count as spent, in the unit of the budget."""
    names: Annotated[str, Field(min_length=1)] | None = None
    """Text file, relative to `data.root`, with the path of one labelled image per line, also
    relative to `data.root`; null takes all images of the pool that have a mask.
    """

    @property
    def is_counted(self) -> bool:
        """Return `counted`; see `StartRule.is_counted`."""
        return self.counted

    def labelled(self, manifest: pa.Table, root: str) -> np.ndarray:
        """Return which images of the pool are labelled; see `StartRule.labelled`."""
        has_mask: np.ndarray = manifest.column("mask_uri").is_valid().to_numpy()
        if self.names is None:
            return has_mask
        key = f"budget.start_rule.names={self.names}"
        lines = read_lines(root, self.names)
        if lines is None:
            raise ConfigError(f"{key}: there is no such file below {root}; correct the name")
        wanted = pa.array(
            dict.fromkeys(line.replace("\\", "/").removeprefix("./") for line in lines), pa.string()
        )
        if not len(wanted):
            raise ConfigError(f"{key}: names no image; write one path a line")
        image_ids = _names(manifest)
        unknown = wanted.filter(pc.invert(pc.is_in(wanted, value_set=image_ids.combine_chunks())))
        if len(unknown):
            raise ConfigError(
                f"{key}: {len(unknown)} of {len(wanted)} lines name no image of the pool: "
                f"{listed(map(repr, unknown.to_pylist()))}; write paths such as "
                f"{image_ids[0].as_py()!r}"
            )
        is_named: np.ndarray = pc.is_in(image_ids, value_set=wanted).to_numpy()
        bare = image_ids.filter(pa.array(is_named & ~has_mask))
        if len(bare):
            raise ConfigError(
                f"{key}: {len(bare)} of {len(wanted)} images have no mask: "
                f"{listed(bare.to_pylist())}; add the masks, or take these images out of the list"
            )
        return is_named

    def check(self, config: "RunConfig") -> None:
        """Refuse region kinds of which an image has too many to take all.

        Raises:
            ConfigError: with key, value and remedy.
        """
        if config.regions.is_sparse:
            raise ConfigError(
                f"budget.start_rule={self.kind!r}: regions.kind={config.regions.kind!r} has a "
                "region at every pixel, too many to take all of an image; use another kind of "
                "regions"
            )


def _names(manifest: pa.Table) -> pa.ChunkedArray:
    """Return the name of the image of each row, also where the row is a tile of it."""
    columns = (manifest.column(name).to_pylist() for name in ("image_id", "uri"))
    return pa.chunked_array([[image_of(*names) for names in zip(*columns, strict=True)]])
