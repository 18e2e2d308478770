"""Start with a region of every image."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from ray_al.core.errors import ConfigError
from ray_al.core.families.start import StartRule
from ray_al.select.start import Allows, equal_per_image

if TYPE_CHECKING:
    from ray_al.core.config import RunConfig


class EqualPerImageStart(StartRule):
    """A random region of every image, then a second of every image, and so on."""

    kind: Literal["equal_per_image"] = "equal_per_image"
    paper: ClassVar[str] = "random, a region of every image, then a second of every image"

    def check(self, config: "RunConfig") -> None:
        if not config.regions.is_sized:
            raise ConfigError(
                f"budget.start_rule={self.kind!r} needs regions of which an image's size tells all; regions.kind={config.regions.kind!r}: use random"
            )

    def rank(
        self,
        manifest: pa.Table,
        regions: Any,
        *,
        k: int,
        seed: int,
        cycle: int,
        remaining: np.ndarray,
        allows: Allows | None = None,
    ) -> pa.Table:
        return equal_per_image(manifest, regions, k=k, seed=seed, cycle=cycle, remaining=remaining, allows=allows)
