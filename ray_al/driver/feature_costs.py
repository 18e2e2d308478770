"""Estimate before a run how much storage the features of its frozen backbone take."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from ray_al.core.config import RunConfig
from ray_al.core.types import PoolSizes
from ray_al.driver.cycles import num_passes
from ray_al.driver.embedding import plan_of
from ray_al.features.source import POOL, FeatureSource
from ray_al.ledger import NOT_CREATED, State


@dataclass(frozen=True, kw_only=True)
class FeatureCosts:
    """Storage that features take, for one run or for several runs that share them.

    Attributes:
        num_images: pool images whose features are stored; those of the others are computed when
            they are needed.
        num_views: stored views of each image.
        image_bytes: bytes of all views of one image.
        num_bytes: bytes in total, including one view of each validation image.
        free_bytes: free space at the place of the store; None if unknown.
    """

    num_images: int
    num_views: int
    image_bytes: int
    num_bytes: int
    free_bytes: int | None

    @property
    def fits(self) -> bool:
        """Return whether the store has room for them."""
        return self.free_bytes is None or self.num_bytes <= self.free_bytes

    @property
    def text(self) -> str:
        """Return one sentence for people."""
        if not self.num_bytes:
            return (
                "features of the frozen backbone are computed where they are needed, none is stored"
            )
        room = "" if self.free_bytes is None else f"; {_size(self.free_bytes)} are free"
        views = f"{self.num_views} view{'s' if self.num_views > 1 else ''}"
        return (
            f"features of {self.num_images} pool images take {_size(self.num_bytes)}, "
            f"{_size(self.image_bytes)} an image in {views}{room}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the attributes by name, for JSON."""
        return asdict(self)


REMEDY = "lower features.store.limit_gb, or set features.store.root to a place with more room"


def feature_costs(
    config: RunConfig, pool: PoolSizes, amount: int, num_val: int, run_uri: str
) -> FeatureCosts | None:
    """Estimate what a run at `run_uri` will store; None if its network is not frozen.

    Args:
        pool: sizes of the pool.
        amount: the whole budget in units.
        num_val: number of images of the validation split.
        run_uri: place of the run, which need not exist.
    """
    if not config.model.is_frozen:
        return None
    source = FeatureSource(config, run_uri, POOL, ())
    before = State(created=replace(NOT_CREATED, **asdict(pool), amount=amount))
    if source.store is None or not config.features.store.keeps(num_passes(before, config)):
        return FeatureCosts(num_images=0, num_views=0, image_bytes=0, num_bytes=0, free_bytes=None)
    plan = plan_of(config, source, pool.num_images)
    return FeatureCosts(
        num_images=plan.num_images,
        num_views=len(plan.views),
        image_bytes=len(plan.views) * source.record_bytes,
        num_bytes=plan.num_bytes + num_val * source.record_bytes,
        free_bytes=source.store.free_bytes(),
    )


def _size(num_bytes: int) -> str:
    value, units = float(num_bytes), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.3g} {units[0]}"
