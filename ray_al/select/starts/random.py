"""Start at random."""

from typing import ClassVar, Literal

from ray_al.select.start import random_start
from ray_al.select.starts.ranked import RankedStart


class RandomStart(RankedStart):
    """Takes any region with equal probability, drawn from seed and region name."""

    kind: Literal["random"] = "random"
    paper: ClassVar[str] = "uniform, drawn from seed and region name"
    ranking = staticmethod(random_start)
