"""What start rules have in common that rank the pool without a look at its images."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from ray_al.core.families.start import StartRule
from ray_al.select.start import Allows


class RankedStart(StartRule):
    """The start set, or its seed part, is the head of a ranking that is drawn at random."""

    ranking: ClassVar[Callable[..., pa.Table]]
    """One of `ray_al/select/start.py`; it takes what `rank` is given."""

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
        """As `StartRule.rank`."""
        asked = {"k": k, "seed": seed, "cycle": cycle, "remaining": remaining, "allows": allows}
        return type(self).ranking(manifest, regions, **asked)
