"""Start at random."""

from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from ray_al.core.families.start import StartRule
from ray_al.select.start import Allows, random_start


class RandomStart(StartRule):
    """Any region with equal chance, drawn from seed and region name."""

    kind: Literal["random"] = "random"
    paper: ClassVar[str] = "uniform, drawn from seed and region name"

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
        return random_start(manifest, regions, k=k, seed=seed, cycle=cycle, remaining=remaining, allows=allows)
