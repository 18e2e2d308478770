"""Provide the base of start rules that rank the pool without looking at images."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pyarrow as pa

from ray_al.core.families.regions import Regions
from ray_al.core.families.start import StartRule
from ray_al.select.start import Allows


class RankedStart(StartRule):
    """Takes the head of a random ranking as the start set, or as its seed part."""

    ranking: ClassVar[Callable[..., pa.Table]]
    """A function of `ray_al/select/start.py`; it takes the arguments of `rank`."""

    def rank(
        self,
        manifest: pa.Table,
        regions: Regions,
        *,
        k: int,
        seed: int,
        cycle: int,
        remaining: np.ndarray,
        allows: Allows | None = None,
    ) -> pa.Table:
        """Return the first `k` regions of the ranking; see `StartRule.rank`."""
        asked = {"k": k, "seed": seed, "cycle": cycle, "remaining": remaining, "allows": allows}
        return type(self).ranking(manifest, regions, **asked)
