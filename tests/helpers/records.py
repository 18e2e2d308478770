"""Records with made-up values, for tests that need a state and not what is in it."""

from typing import Any

from ray_al.core.types import FileRef
from ray_al.ledger.parse import parse
from ray_al.ledger.records import (
    RECORDS,
    CycleTrained,
    FeaturesExtracted,
    MemberTrained,
    ModelsMeasured,
    PoolEmbedded,
    PoolScored,
    Record,
    RegionsComputed,
    RunCreated,
)
from ray_al.ledger.records.parts import to_json

FILE = FileRef(path="f", size=1, sha256="0").as_dict()


def record(kind: str, **data: Any) -> Record:
    """The record of an event; `data` may hold JSON values or those of records."""
    return parse(RECORDS[kind], to_json(data))


def run_created(**changes: Any) -> RunCreated:
    """An empty pool without a budget, unless `changes` say otherwise; all classes are black."""
    sizes = {"num_images": 0, "num_regions": 0, "num_pixels": 0, "amount": 0}
    values = {"name": "t", "manifest": FILE, "config": FILE, "unit": "regions", **sizes}
    colors = [[0, 0, 0]] * len(changes.get("class_names", ()))
    return parse(RunCreated, {**values, "colors": colors, **changes})


def cycle_trained(cycle: int = 0, *, cost: int = 0, **changes: Any) -> CycleTrained:
    """A model that was trained on labels that cost `cost`; its data set has no classes."""
    values = {
        "cycle": cycle,
        "files": {"model.pt": FILE},
        "metrics": {"val": {"miou": 0.5, "pixel_accuracy": 0.5, "iou": []}},
        "labelled": {"regions": 0, "pixels": 0, "images": 0, "cost": cost},
        "class_pixels": [],
        "num_steps": 1,
        "num_images": 1,
        "train_seconds": 1.0,
        "evaluate_seconds": 1.0,
    }
    return parse(CycleTrained, {**values, **changes})


def member_trained(cycle: int = 0, member: int = 1, **changes: Any) -> MemberTrained:
    """A further member of an ensemble."""
    values = {"files": {"model.pt": FILE}, "num_steps": 1, "train_seconds": 1.0, **changes}
    return parse(MemberTrained, {"cycle": cycle, "member": member, **values})


def pool_scored(cycle: int = 0, **changes: Any) -> PoolScored:
    """Scores that are complete."""
    return parse(PoolScored, {"cycle": cycle, "num_images": 1, "seconds": 1.0, **changes})


def features_extracted(cycle: int = 0) -> FeaturesExtracted:
    """Features that are complete."""
    return FeaturesExtracted(cycle=cycle, num_regions=1, seconds=1.0)


def models_measured(cycle: int = 0) -> ModelsMeasured:
    """One model that was measured."""
    return ModelsMeasured(cycle=cycle, budget=1, mious=(0.5,), miou=0.5, spread=None, seconds=1.0)


def pool_embedded() -> PoolEmbedded:
    """A store of features that is filled."""
    return PoolEmbedded(num_images=1, views=(0,), num_bytes=1, seconds=1.0)


def regions_computed() -> RegionsComputed:
    """Region maps that are complete."""
    manifest = FileRef.from_dict(FILE)
    return RegionsComputed(manifest=manifest, num_regions=1, amount=1, seconds=1.0)


CREATED = {
    "name": "t",
    "manifest": FILE,
    "config": FILE,
    "num_images": 2,
    "num_regions": 8,
    "num_pixels": 800,
    "unit": "regions",
    "amount": 4,
}
