"""The whole configuration of a run."""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ray_al.core.config.budget import BudgetConfig
from ray_al.core.config.data import DataConfig, FeaturesConfig
from ray_al.core.config.final import FinalConfig
from ray_al.core.config.merging import keep_one_length, override
from ray_al.core.config.scoring import ScoringConfig
from ray_al.core.config.train import TrainConfig
from ray_al.core.errors import ConfigError
from ray_al.core.families.labels import LABELS, LabelKind
from ray_al.core.families.regions import REGIONS, Regions
from ray_al.core.model import MODELS, ComposedConfig, ModelConfig
from ray_al.core.plain import dump_yaml
from ray_al.core.section import Count, Section, Seed
from ray_al.core.strategy import StrategyConfig
from ray_al.core.tracking import TrackingConfig
from ray_al.core.types import START_CYCLE, Recipe
from ray_al.core.validation import validate

DEFAULT_STEPS = 200
"""`train.steps` of a configuration that sets neither `steps` nor `epochs`."""


class ReportConfig(Section):
    """Settings of the report of a run."""

    num_images: Annotated[int, Field(ge=0, le=32)] = 4
    """Number of images that the report shows with queries, entropy and predictions."""


class ClusterConfig(Section):
    """Where the processes of a run live, and how long it waits for them."""

    host: Literal["actor", "process"] = "actor"
    """Where the driver runs: as an actor on the cluster, or in the process of the command."""
    num_cpus: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Logical CPUs of a local cluster that ray_al starts itself; null takes the machine's, at least
    4.
    """
    keep_checkpoints: Count = 2
    """Number of latest cycles whose checkpoints are kept."""
    start_timeout_s: Annotated[float, Field(gt=0, le=1e6)] = 900.0
    """Seconds that a run waits for the cluster to start its processes before it ends with the
    reason.
    """


class RunConfig(Section):
    """Everything that a run depends on.

    `config.yaml` of a run directory holds it complete and resolved.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "run"
    """Name of the run, from which the name of its directory is made."""
    seed: Seed = 0
    """Seed of everything that is random in the run."""
    data: DataConfig = Field(default_factory=DataConfig)
    """The images and masks."""
    regions: Annotated[Regions, REGIONS] = Field(
        default_factory=lambda: REGIONS.parse({"kind": "grid"}), validate_default=False
    )
    """The parts of an image that are scored, chosen and labelled."""
    model: Annotated[ModelConfig | ComposedConfig, MODELS] = ModelConfig()
    """The network."""
    features: FeaturesConfig = Field(default_factory=FeaturesConfig)
    """Features of a frozen backbone: the views of an image to train on, and where to keep them."""
    train: TrainConfig = TrainConfig(steps=DEFAULT_STEPS)
    """How the models that choose are trained."""
    strategy: StrategyConfig = Field(default_factory=StrategyConfig)
    """How regions are scored, and how a query is chosen from the scores."""
    label: Annotated[LabelKind, LABELS] = Field(default_factory=lambda: LABELS.parse({}))
    """The question asked about a region, and the annotator that answers it."""
    scoring: ScoringConfig = ScoringConfig()
    """How the work of scoring the pool is distributed and computed."""
    budget: BudgetConfig = Field(default_factory=BudgetConfig)
    """The budget, including the start set; shares are of all regions of the pool, or of all its
    pixels, void included.
    """
    final: FinalConfig = FinalConfig()
    """The models that are measured: those of `ray-al final` and `upper-bound`, and a run's own at
    the named budgets.
    """
    report: ReportConfig = ReportConfig()
    """The report of the run."""
    tracking: TrackingConfig = TrackingConfig()
    """Trackers that show the curves elsewhere, cycle by cycle."""
    cluster: ClusterConfig = ClusterConfig()
    """Where the run's processes live, and how long it waits for them."""

    def shard_size(self, num_images: int) -> int:
        """Return the number of images in a scoring task, for a pool of `num_images`.

        `scoring.shard_size: auto` gives up to 256 small images, so threads seldom run dry; fewer if
        a task would take long, or if one of several workers would get fewer than four tasks. For
        features that are kept it is up to 1,024, as they are scored several times as fast.
        """
        if self.scoring.shard_size != "auto":
            return self.scoring.shard_size
        height, width = self.data.image_size
        most = max(64, min(1024 if self.model.is_frozen else 256, 2**25 // (height * width)))
        if self.data.tile is not None:
            most = 256  # as each task decodes the files of its tiles anew
        even = num_images / (4 * self.scoring.workers) if self.scoring.workers > 1 else num_images
        return max(16, min(most, 16 * math.ceil(even / 16)))

    @model_validator(mode="after")
    def _train_has_a_length(self) -> "RunConfig":
        if self.train.steps is None and self.train.epochs is None:
            raise ValueError("train: neither steps nor epochs is set; set one")
        if self.data.dataset.needs_root and self.data.root is None:
            raise ValueError(
                f"data.root is missing; dataset {self.data.dataset.kind!r} needs the folder or URI "
                "of its images"
            )
        return self

    @model_validator(mode="after")
    def _final_sees_tiles(self) -> "RunConfig":
        size, tile = self.final.image_size, self.data.tile
        if tile is not None and size not in (None, tile):
            raise ValueError(
                f"final.image_size={list(size or ())}: measured models see the same tiles, and "
                f"data.tile is {list(tile)}; leave final.image_size out"
            )
        return self

    @model_validator(mode="after")
    def _final_can_train(self) -> "RunConfig":
        try:
            self.with_recipe(self.final.recipe)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        largest = max(
            (budget for budget in self.final.budgets if type(budget) is type(self.budget.amount)),
            default=0,
        )
        if largest > self.budget.amount:
            raise ValueError(
                f"final.budgets: {largest} is more than budget.amount={self.budget.amount}, "
                "which is never reached; leave it out"
            )
        return self

    def with_recipe(self, recipe: Recipe) -> "RunConfig":
        """Return the configuration with which a plan of this recipe trains.

        Raises:
            ConfigError: the recipe holds an unknown key or a wrong value of `train`.
        """
        data = (
            self.data
            if recipe.image_size is None
            else self.data.model_copy(update={"image_size": recipe.image_size})
        )
        if not recipe.train:
            return self.model_copy(update={"data": data})
        values = self.train.model_dump(mode="json")
        override(values, recipe.train)
        keep_one_length(values, recipe.train)
        train = validate(TrainConfig, values, source="final.train")
        return self.model_copy(update={"data": data, "train": train})

    @property
    def keeps_group(self) -> bool:
        """Whether the group of training workers is kept while the pool is scored.

        It is not if both would wait for the same GPU, nor if the group is elastic and on GPUs,
        whose shares Ray counts wrongly.
        """
        elastic_on_gpus = isinstance(self.train.workers, tuple) and self.train.gpus_per_worker > 0
        fits = (
            not self.train.gpus_per_worker
            or self.train.gpus_per_worker + self.scoring.gpus_per_worker <= 1
        )
        return self.train.keep_workers and fits and not elastic_on_gpus

    def strategy_at(self, cycle: int) -> StrategyConfig:
        """Return the strategy that chooses in a cycle.

        That of a start set (cycles below 0) follows from `budget.start_rule`.
        """
        if cycle >= 0:
            return self.strategy
        if cycle == START_CYCLE:
            return self.budget.start_rule.strategy(self.strategy)
        return self.strategy.of_start()

    def to_yaml(self) -> str:
        """Return the complete configuration as YAML, which `load_config` reads back the same."""
        return dump_yaml(self.model_dump(mode="json"))
