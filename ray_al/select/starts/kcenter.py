"""Start with k-center greedy (Sener and Savarese, ICLR 2018, arXiv 1708.00489)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ray_al.select.starts.on_features import FeatureStart


class KCenterStart(FeatureStart):
    """Repeatedly takes the region farthest from all chosen ones."""

    kind: Literal["kcenter"] = "kcenter"
    paper: ClassVar[str] = (
        "k-center on the features of pretrained weights: Sener and Savarese, ICLR 2018"
    )
    batch: ClassVar[str] = "kcenter"
    default_layer: ClassVar[str | None] = None
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """Share by which a chosen region may be less far than the farthest one."""
