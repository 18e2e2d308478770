"""Records: the typed contents of events, one frozen dataclass for each kind of event.

A field without a default is in every event of its kind. A field with one is missing from journals
that earlier versions wrote, or from events to which it does not apply. Seconds are wall time.
"""

from collections.abc import Mapping

from ray_al.ledger.records.extended import RunExtended
from ray_al.ledger.records.labels import (
    CycleFilled,
    LabelsReceived,
    LabelsRequested,
    QueryClosed,
    QuerySelected,
)
from ray_al.ledger.records.parts import (
    BrokenImage,
    Labelled,
    LeftOut,
    Record,
    ShardFile,
    ShardName,
    SplitMetrics,
)
from ray_al.ledger.records.pool import (
    FeaturesExtracted,
    FeaturesOutdated,
    ImagesPicked,
    ImagesSegmented,
    PoolEmbedded,
    PoolScored,
    RegionsComputed,
    ShardsEmbedded,
    ShardsExtracted,
    ShardsScored,
)
from ray_al.ledger.records.run import (
    ConfigChanged,
    DriverStarted,
    ImagesQuarantined,
    ImagesRestored,
    RunCreated,
    RunFinished,
)
from ray_al.ledger.records.training import (
    CycleTrained,
    MemberTrained,
    ModelMeasured,
    ModelsMeasured,
)
from ray_al.ledger.records.validation import (
    MaskFile,
    UnlabelledImages,
    ValidationClosed,
    ValidationReceived,
    ValidationRequested,
)

RECORDS: Mapping[str, type[Record]] = {
    record.kind: record
    for record in (
        RunCreated,
        ConfigChanged,
        RunExtended,
        DriverStarted,
        ImagesQuarantined,
        ImagesRestored,
        ImagesSegmented,
        RegionsComputed,
        ShardsEmbedded,
        PoolEmbedded,
        FeaturesOutdated,
        QuerySelected,
        LabelsRequested,
        LabelsReceived,
        CycleFilled,
        QueryClosed,
        CycleTrained,
        MemberTrained,
        ModelMeasured,
        ModelsMeasured,
        ImagesPicked,
        ShardsScored,
        PoolScored,
        ShardsExtracted,
        FeaturesExtracted,
        ValidationRequested,
        ValidationReceived,
        ValidationClosed,
        RunFinished,
    )
}
"""The dataclass of each kind of event."""

__all__ = [
    "BrokenImage",
    "ConfigChanged",
    "CycleFilled",
    "CycleTrained",
    "DriverStarted",
    "FeaturesExtracted",
    "FeaturesOutdated",
    "ImagesPicked",
    "ImagesQuarantined",
    "ImagesRestored",
    "ImagesSegmented",
    "Labelled",
    "LabelsReceived",
    "LabelsRequested",
    "LeftOut",
    "MaskFile",
    "MemberTrained",
    "ModelMeasured",
    "ModelsMeasured",
    "PoolEmbedded",
    "PoolScored",
    "QueryClosed",
    "QuerySelected",
    "RECORDS",
    "Record",
    "RegionsComputed",
    "RunCreated",
    "RunExtended",
    "RunFinished",
    "ShardFile",
    "ShardName",
    "ShardsEmbedded",
    "ShardsExtracted",
    "ShardsScored",
    "SplitMetrics",
    "UnlabelledImages",
    "ValidationClosed",
    "ValidationReceived",
    "ValidationRequested",
]
