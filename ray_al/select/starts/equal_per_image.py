"""Start with one region of every image."""

from typing import TYPE_CHECKING, ClassVar, Literal

from ray_al.core.errors import ConfigError
from ray_al.select.start import equal_per_image
from ray_al.select.starts.ranked import RankedStart

if TYPE_CHECKING:
    from ray_al.core.config import RunConfig


class EqualPerImageStart(RankedStart):
    """Takes a random region of every image, then a second one of every image, and so on."""

    kind: Literal["equal_per_image"] = "equal_per_image"
    paper: ClassVar[str] = "random, a region of every image, then a second of every image"
    ranking = staticmethod(equal_per_image)

    def check(self, config: "RunConfig") -> None:
        """Refuse region kinds whose regions do not follow from the size of an image.

        Raises:
            ConfigError: with key, value and remedy.
        """
        if not config.regions.is_sized:
            raise ConfigError(
                f"budget.start_rule={self.kind!r} needs regions that follow from the size of an "
                f"image alone; regions.kind={config.regions.kind!r}: use random"
            )
