"""The state of a run: everything that its events say together."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ray_al.core.types import FileRef, PoolSizes, Refusal, RegionName
from ray_al.ledger.records import (
    CycleTrained,
    FeaturesExtracted,
    MemberTrained,
    ModelMeasured,
    ModelsMeasured,
    PoolEmbedded,
    PoolScored,
    RegionsComputed,
    RunCreated,
    RunExtended,
)
from ray_al.ledger.validation import ValidationLabels

_NO_FILE = FileRef(path="", size=0, sha256="")
NOT_CREATED = RunCreated(
    name="",
    manifest=_NO_FILE,
    config=_NO_FILE,
    num_images=0,
    num_regions=0,
    num_pixels=0,
    unit="regions",
    amount=0,
)
"""Stands in for the first event until it is applied."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """The regions chosen in `cycle` (-1: the start set), and how far they are labelled.

    Attributes:
        cost: the amount reserved for its regions, in the unit of the budget.
        answered: regions that have a label.
        refused: names of the regions that will have none.
        received_cost: the cost of the labels so far.
        tasks: the folder in which people find the regions; None if nobody was asked yet.
        collected_in_attempt: the last host that looked for answers; 0 for none.
    """

    cycle: int
    file: FileRef
    num_regions: int
    cost: int
    answered: int = 0
    refused: frozenset[RegionName] = frozenset()
    received_cost: int = 0
    tasks: str | None = None
    collected_in_attempt: int = 0
    closed: bool = False
    select_seconds: float = 0.0
    label_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class State:
    """Everything that is known of a run. Costs are in the unit of the budget.

    Attributes:
        created: the run as it was made, with the settings and region counts that hold now.
        attempt: counts the hosts of the run, from 1.
        label_parts: files of labels, oldest first.
        visits: how often an image was opened: images of each delivery, summed over deliveries;
            None if events of earlier versions do not say.
        maps: set once the region maps of all shards exist.
        map_parts: shard -> file of region maps; None for a shard without regions.
        embedded_shards: shard -> its name in the feature store.
        embedded: set once the feature store is filled, until some features are outdated.
        trained: cycle -> its model.
        members: cycle -> member -> a further model of its ensemble.
        repeats: cycle -> repeat -> a model that was measured.
        measured: cycle -> all of its repeats together.
        picked: cycle -> file with the images that lazy scoring looks at.
        scores: cycle -> shard -> file of scores.
        scored: cycle -> set once its scores are complete.
        features: cycle -> shard -> file with features of candidates.
        extracted: cycle -> set once its features are complete.
        quarantined: image_id -> why the image cannot be used.
        restored: image_id -> the attempt in which the image came back.
        refused: the last refusal of each region that has no label.
        extensions: how the user extended the run, oldest first.
        sizes_now: the sizes of the extended pool; None as long as the run was not extended.
        sizes_at: cycle -> sizes of the pool at its training, for trainings since an extension.
        removed: names of images that left the pool.
        num_mapped: number of images, the first of the manifest, whose regions were computed before
            others were added; None if none were.
        validation: the labels of validation images that had no mask; None if all had one.
        filled: the cycle that can pay for no further region.
        finished: why the run ended; None while it has not.
        updated_at: time of the last event.
    """

    created: RunCreated = NOT_CREATED
    attempt: int = 0
    queries: tuple[Query, ...] = ()
    label_parts: tuple[FileRef, ...] = ()
    labelled_regions: int = 0
    labelled_pixels: int = 0
    labelled_clicks: int = 0
    visits: int | None = 0
    spent: int = 0
    reserved: int = 0
    maps: RegionsComputed | None = None
    map_parts: Mapping[int, FileRef | None] = field(default_factory=dict)
    embedded_shards: Mapping[int, str] = field(default_factory=dict)
    embedded: PoolEmbedded | None = None
    trained: Mapping[int, CycleTrained] = field(default_factory=dict)
    members: Mapping[int, Mapping[int, MemberTrained]] = field(default_factory=dict)
    repeats: Mapping[int, Mapping[int, ModelMeasured]] = field(default_factory=dict)
    measured: Mapping[int, ModelsMeasured] = field(default_factory=dict)
    picked: Mapping[int, FileRef] = field(default_factory=dict)
    scores: Mapping[int, Mapping[int, FileRef | None]] = field(default_factory=dict)
    scored: Mapping[int, PoolScored] = field(default_factory=dict)
    features: Mapping[int, Mapping[int, FileRef | None]] = field(default_factory=dict)
    extracted: Mapping[int, FeaturesExtracted] = field(default_factory=dict)
    quarantined: Mapping[str, str] = field(default_factory=dict)
    restored: Mapping[str, int] = field(default_factory=dict)
    refused: tuple[Refusal, ...] = ()
    extensions: tuple[RunExtended, ...] = ()
    sizes_now: PoolSizes | None = None
    sizes_at: Mapping[int, PoolSizes] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()
    num_mapped: int | None = None
    validation: ValidationLabels | None = None
    filled: int | None = None
    finished: str | None = None
    updated_at: str = ""

    @property
    def amount(self) -> int:
        """The whole budget."""
        return self.created.amount

    @property
    def sizes(self) -> PoolSizes:
        """The present sizes of the pool; shares of the budget go by those of `created`."""
        return self.sizes_now or self.created.sizes

    def pool_at(self, cycle: int) -> PoolSizes:
        """Return the sizes of the pool when the model of a cycle was trained."""
        return self.sizes_at.get(cycle, self.created.sizes)

    @property
    def remaining(self) -> int:
        """The part of the budget that can still be reserved."""
        return self.amount - self.spent - self.reserved

    @property
    def cycles(self) -> list[CycleTrained]:
        """The trained cycles from 0 on, in order."""
        return [model for cycle, model in sorted(self.trained.items()) if cycle >= 0]

    @property
    def last_trained(self) -> CycleTrained | None:
        """The last trained cycle; None before cycle 0."""
        return self.cycles[-1] if self.cycles else None

    @property
    def unlabelled_classes(self) -> list[str]:
        """Names of the classes of which the last training had no label; empty before the first."""
        if self.last_trained is None:
            return []
        return [name for name, count in self._class_counts(self.last_trained) if not count]

    @property
    def only_class(self) -> str | None:
        """Name of the class of every label so far; None if there are several, or no label."""
        if self.last_trained is None:
            return None
        names = self.created.class_names
        labelled = [name for name, count in self._class_counts(self.last_trained) if count]
        return labelled[0] if len(labelled) == 1 and len(names) > 1 else None

    def _class_counts(self, model: CycleTrained) -> list[tuple[str, float]]:
        """Return each class with its labelled pixels; a class added since then had none."""
        names, counts = self.created.class_names, model.class_pixels
        missing = len(names) - len(counts) if self.extensions else 0
        return list(zip(names, (*counts, *(0,) * missing), strict=False))

    @property
    def cycle(self) -> int:
        """The cycle that the run is in."""
        return max(0, self.queries[-1].cycle + 1) if self.queries else 0

    def repeats_of(self, cycle: int) -> list[ModelMeasured]:
        """Return the models that were measured on the labels of `cycle`, in order."""
        return [model for _, model in sorted(self.repeats.get(cycle, {}).items())]

    def members_of(self, cycle: int) -> list[MemberTrained]:
        """Return the further members of the ensemble of `cycle`, in order."""
        return [member for _, member in sorted(self.members.get(cycle, {}).items())]
