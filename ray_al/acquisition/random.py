"""Score regions by uniform noise."""

from typing import ClassVar

from ray_al.acquisition.acquisition import Acquisition


class Random(Acquisition):
    """Uniform scores; `ray_al.scoring.region_scores` draws them, and no model is run."""

    paper: ClassVar[str] = "uniform, drawn from seed, cycle and region name"
