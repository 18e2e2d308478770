"""Start with the labels that exist."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ray_al.core.errors import ConfigError
from ray_al.core.families.start import StartRule
from ray_al.datasets.findings import listed
from ray_al.datasets.listing import read_lines

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

    def labelled(self, image_ids: Sequence[str], has_mask: Sequence[bool], root: str) -> list[bool]:
        """Return which images of the pool are labelled; see `StartRule.labelled`."""
        if self.names is None:
            return list(has_mask)
        key = f"budget.start_rule.names={self.names}"
        lines = read_lines(root, self.names)
        if lines is None:
            raise ConfigError(f"{key}: there is no such file below {root}; correct the name")
        wanted = {line.replace("\\", "/").removeprefix("./") for line in lines}
        unknown = sorted(wanted - set(image_ids))
        if unknown:
            raise ConfigError(
                f"{key}: {len(unknown)} of {len(wanted)} lines name no image of the pool: "
                f"{listed(map(repr, unknown))}; write paths such as {image_ids[0]!r}"
            )
        bare = [
            name
            for name, has in zip(image_ids, has_mask, strict=True)
            if name in wanted and not has
        ]
        if bare:
            raise ConfigError(
                f"{key}: {len(bare)} of {len(wanted)} images have no mask: {listed(bare)}; add "
                "the masks, or take these images out of the list"
            )
        return [name in wanted for name in image_ids]

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
