"""The typed configuration of a run.

Unknown keys are refused with the nearest known one; every message names the key, the value seen and what to do.
"""

import copy
import itertools
import math
import os
import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from ray_al.core.errors import ConfigError
from ray_al.core.families.labels import LABELS, LabelKind
from ray_al.core.families.layouts import LAYOUTS, Layout
from ray_al.core.families.regions import REGIONS, Regions
from ray_al.core.families.start import START_RULES, StartRule
from ray_al.core.families.units import UNITS, Unit
from ray_al.core.family import family_of
from ray_al.core.model import MODELS, WEIGHTS, ComposedConfig, ModelConfig
from ray_al.core.places import before_work
from ray_al.core.plain import dump_yaml, load_yaml
from ray_al.core.reading import ABSENT, read_uri
from ray_al.core.section import Count, Gpus, Number, Positive, Section, Seed, Weight
from ray_al.core.strategy import StrategyConfig
from ray_al.core.tracking import TrackingConfig
from ray_al.core.types import START_CYCLE, Recipe
from ray_al.core.validation import section_of, validate
from ray_al.core.variants import SEMI, STORES, VIEWS, Semi, Store, View


def _amount(value: Any) -> Any:
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", value)):
        value = float(Fraction(match[1]) / 100)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("give a whole number (a count) or a share such as 0.02 or '2 %'")
    if isinstance(value, float) and value > 1:
        raise ValueError("a share lies between 0 and 1; write a count without a decimal point")
    if value <= 0:
        raise ValueError("must be more than 0")
    if value >= 2**63:
        raise ValueError("is more than any pool has; lower it")
    return value


def parse_share(text: str, *, name: str) -> float:
    """`0.08` or `8 %` as 0.08.

    Raises:
        ConfigError: it is no share.
    """
    try:
        value = _amount(text if "%" in text else float(text))
    except ValueError:
        raise ConfigError(
            f"{name} {text!r}: give a share of the pool between 0 and 1, or like '8 %'"
        ) from None
    return float(value)


_AMOUNT_SCHEMA = {
    "title": "a count, or a share such as 0.02 or '2 %'",
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*%\s*$"},
    ],
}
Amount = Annotated[int | float, BeforeValidator(_amount), WithJsonSchema(_AMOUNT_SCHEMA)]
"""A count (int), or a share of the whole (float up to 1, or a string with a percent sign)."""


def _amounts(value: Any) -> Any:
    """One amount, or several that stand for the cycles one after another."""
    if not isinstance(value, list | tuple):
        return _amount(value)
    if not value:
        raise ValueError(
            "give at least one amount, such as ['0.5 %', '1 %']; the last one holds for all cycles after it"
        )
    amounts = []
    for place, one in enumerate(value, start=1):
        try:
            amounts.append(_amount(one))
        except ValueError as error:
            raise ValueError(f"amount {place} of {len(value)}, {one!r}: {error}") from None
    return tuple(amounts)


_AMOUNTS_SCHEMA = {
    "anyOf": [_AMOUNT_SCHEMA, {"type": "array", "items": _AMOUNT_SCHEMA, "minItems": 1}],
}
Amounts = Annotated[
    int | float | tuple[int | float, ...],
    BeforeValidator(_amounts),
    WithJsonSchema(_AMOUNTS_SCHEMA),
]
"""An `Amount`, or a tuple of them."""


def _class_name(name: str) -> str:
    if not name.strip():
        raise ValueError("a class needs a name that can be seen; give one")
    return name


def _split_name(name: str) -> str:
    if name.startswith("~") or {"", ".", ".."} & set(name.strip().split("/")):
        raise ValueError(
            "a split is named by a folder or list below data.root; give a name such as train or val"
        )
    return name


ClassName = Annotated[str, AfterValidator(_class_name)]
SplitName = Annotated[str, AfterValidator(_split_name)]
Side = Annotated[int, Field(ge=16, le=2**14)]
"""Pixels of an image's height or width, as the network sees it."""
Byte = Annotated[int, Field(ge=0, le=255)]

Schedule = Literal["constant", "poly", "cosine", "step"]
"""How the learning rate falls over a cycle; `step` divides it by ten every `train.schedule_step` epochs."""


class DataConfig(Section):
    """Which images. `image_size` is (height, width) for training and scoring; labels stay in native pixels."""

    dataset: Annotated[Layout, LAYOUTS] = Field(default_factory=lambda: LAYOUTS.parse("synthetic"))
    """The layout of the files: camvid, cityscapes, voc, folder, synthetic, or a class of your own.
    """
    root: Annotated[str, Field(min_length=1)] | None = None
    """Folder or URI that holds the images and masks; a path in a file is relative to that file."""
    image_size: tuple[Side, Side] = (120, 160)
    """Height and width in pixels to which images are scaled for training and scoring."""
    normalize: Literal["imagenet", "none"] = "imagenet"
    """How colours are normalized: by ImageNet's mean and standard deviation, or not at all."""
    class_names: Annotated[tuple[ClassName, ...], Field(min_length=1)] | None = None
    """Names of the classes, id 0 first; null takes those of the layout."""
    colors: Annotated[tuple[tuple[Byte, Byte, Byte], ...], Field(min_length=1)] | None = None
    """Red, green and blue of each class, in the order of the classes; null takes the layout's."""
    mask_encoding: Literal["ids", "colors"] = "ids"
    """Whether the pixels of masks hold class ids or colours."""
    ignore_ids: tuple[Byte, ...] = ()
    """Ids in masks that mean void: these pixels are neither trained on nor evaluated."""
    nearest_color: bool = False
    """Whether a colour that no class has is read as the nearest one; for lossy or smooth masks."""
    allow: tuple[
        Literal["absent_class", "shared_images", "shifted_ids", "unmatched_names"], ...
    ] = ()
    """Findings of `ray-al datasets check` that are intended, so that a run begins in spite of them.
    """
    train_split: SplitName = "train"
    """Name of the split whose images form the pool."""
    val_split: SplitName = "val"
    """Name of the split on which models are evaluated in every cycle."""
    test_split: SplitName = "test"
    """Name of the split on which measured models are tested as well, where there is one."""
    cache_gb: Annotated[float, Field(ge=0, le=1e6)] = 2.0
    """Memory in GiB that each process may use to keep what it has decoded."""
    num_images: Annotated[int, Field(ge=1, le=1_000_000)] = 48
    """Images in the pool of the synthetic data set, which also draws a third as many for
    validation.
    """
    seed: Seed = 0
    """Seed of the synthetic scenes alone, so that runs with different seeds see the same data."""


class FeaturesConfig(Section):
    """Features of a frozen backbone: which views of an image are trained on, and where features are kept."""

    views: tuple[Annotated[View, VIEWS], ...] = Field(
        default_factory=lambda: tuple(
            VIEWS.parse({"kind": kind}) for kind in ("mirror", "crop", "crop")
        ),
        validate_default=False,
    )
    """Changed views of each image that are trained on beside the image itself; each is drawn once.
    """
    store: Annotated[Store, STORES] = Field(
        default_factory=lambda: STORES.parse({"kind": "files"}), validate_default=False
    )
    """Where computed features are kept."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 8
    """Number of images that pass through the backbone together."""


class AugmentConfig(Section):
    mirror: bool = True
    """Whether images are mirrored at random."""
    scale: (
        tuple[Annotated[float, Field(ge=0.01, le=100)], Annotated[float, Field(ge=0.01, le=100)]]
        | None
    ) = None
    """Range of a random scale, after which the image is cropped or padded back to `image_size`."""

    @model_validator(mode="after")
    def _low_to_high(self) -> "AugmentConfig":
        if self.scale is not None and self.scale[0] > self.scale[1]:
            raise ValueError(
                f"scale={list(self.scale)} has its lower end above its upper end; swap them"
            )
        return self


class BatchNormConfig(Section):
    """Running statistics that lag behind the weights spoil short cycles: raise `momentum`, or set `reestimate_batches`."""

    momentum: Annotated[float, Field(gt=0, le=1)] | None = 0.1
    """Weight of each new batch in the running statistics; null averages over all batches alike."""
    reestimate_batches: Number = 0
    """Number of batches from which the statistics are computed anew after training; 0 keeps them.
    """
    sync: bool = False
    """Whether GPU workers share the statistics of each batch."""


class BalancedWeights(Section):
    """Rare classes weigh more: the loss of a labelled pixel is multiplied by (share of its class + 0.001) to the power of -`balanced`."""

    balanced: Annotated[float, Field(gt=0, le=2)] = 0.5
    """Exponent of the weighting: 0.5 is moderate, and larger values favour rare classes more."""


def _kind_of(value: Any) -> str:
    """Which of the alternatives of a setting is given: a rule with keys, or plain values."""
    return "(rule)" if isinstance(value, Mapping | Section) else "(plain)"


def _balanced(value: Any) -> Any:
    if isinstance(value, str) and value != "balanced":
        raise ValueError(
            "give balanced, {balanced: 0.5} with another exponent, or a list with a number for each class"
        )
    return {} if value == "balanced" else value


_WeightOfEach = Annotated[tuple[Weight, ...], Field(min_length=1)]
ClassWeights = Annotated[
    Annotated[BalancedWeights, Tag("(rule)")] | Annotated[_WeightOfEach, Tag("(plain)")],
    Discriminator(_kind_of),
    BeforeValidator(
        _balanced, json_schema_input_type=BalancedWeights | _WeightOfEach | Literal["balanced"]
    ),
]


class AutoSteps(Section):
    """Steps follow the labels: the rate stays high until the labels are learnt, then falls as `schedule` says."""

    max: Count = 1000
    """The largest number of steps."""
    learnt: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Labels count as learnt once the mean loss on labelled pixels falls to this part of a guess's
    loss, which is the logarithm of the number of classes.
    """
    window: Count = 50
    """Number of steps over which the loss is averaged; no training is shorter."""
    decay: Annotated[float, Field(gt=0, le=10)] = 1.0
    """Number of steps with a falling rate, as a multiple of the steps before them."""

    @model_validator(mode="after")
    def _window_fits(self) -> "AutoSteps":
        if self.window * (1 + self.decay) > self.max:
            raise ValueError(
                f"window={self.window} steps and their decay={self.decay:g} are more than max={self.max}; raise max or lower window"
            )
        return self


def _auto(value: Any) -> Any:
    if isinstance(value, str) and value != "auto" and not value.replace("_", "").isdecimal():
        raise ValueError(
            "give a number of steps, auto, or the keys of its rule such as {max: 1000}"
        )
    return {} if value == "auto" else value


_NumSteps = Annotated[int, Field(ge=1, le=10**9)]
Steps = Annotated[
    Annotated[AutoSteps, Tag("(rule)")] | Annotated[_NumSteps, Tag("(plain)")],
    Discriminator(_kind_of),
    BeforeValidator(_auto, json_schema_input_type=AutoSteps | _NumSteps | Literal["auto"]),
]
"""A number of steps, or `auto` (or the keys of `AutoSteps`): as many as the labels ask for."""


class TrainConfig(Section):
    policy: Literal["reset", "finetune", "continue"] = "reset"
    """How a cycle begins: `reset` starts from the initial weights, `finetune` from the last cycle's
    weights, and `continue` also keeps the optimizer's state.
    """
    steps: Steps | None = None
    """Number of optimizer steps in a cycle, or `auto` for as many as the labels ask for; use either
    this or `epochs`.
    """
    epochs: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """Number of passes over the labelled images in a cycle; use either this or `steps`."""
    extra_epochs: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """Length of a cycle, in epochs, whenever spending crosses a multiple of `extra_every` of the
    budget.
    """
    extra_every: Annotated[float, Field(gt=0, le=1)] | None = None
    """Part of the budget after which a cycle trains for `extra_epochs`."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 8
    """Number of images in a batch, over all workers."""
    optimizer: Literal["sgd", "adam", "adamw"] = "adam"
    """The optimizer."""
    learning_rate: Positive = 1e-3
    """The full learning rate, before `schedule` lowers it."""
    warm_learning_rate: Positive | None = None
    """Learning rate of cycles that start from the last cycle's weights (`policy: finetune` or
    `continue`); null takes `learning_rate`.
    """
    weight_decay: Weight = 2e-4
    """Weight decay of the optimizer."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of SGD; the other optimizers do not use it."""
    schedule: Schedule = "poly"
    """How the learning rate falls over a cycle; `step` divides it by ten every `schedule_step`
    epochs.
    """
    schedule_step: Count = 20
    """Number of epochs after which `schedule: step` divides the learning rate by ten."""
    mirror_loss: bool = False
    """Whether the loss also includes the cross entropy of the mirrored image's prediction, mirrored
    back, as in EquAL.
    """
    consistency: Weight = 0.0
    """Weight of EquAL's self-consistency loss over all pixels, labelled or not."""
    prototype: Weight = 0.125
    """Weight of the prototypical pixel loss (MulActSeg), where labels are sets of several classes
    (`label.kind: classes`).
    """
    class_weights: ClassWeights | None = None
    """A weight for each class, or `balanced` to compute the weights from the labelled pixels of
    each cycle.
    """
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the steps over which the learning rate rises to its full value; `schedule` governs
    the rest.
    """
    clip_gradients: Positive | None = None
    """Largest norm of the gradients over all weights; larger gradients are scaled down to it."""
    pixels_per_step: Count | None = None
    """Largest number of labelled pixels that are drawn from a batch for the loss, which saves most
    of a small head's step; null takes all.
    """
    semi: Annotated[Semi, SEMI] | None = None
    """How the network learns from pixels without a label, for which it needs a frozen backbone;
    null does not.
    """
    mirror_test: bool = False
    """Whether evaluation averages the softmax of the image with that of its mirror image, mirrored
    back.
    """
    batch_norm: BatchNormConfig = BatchNormConfig()
    """Running statistics of batch normalization."""
    augment: AugmentConfig = AugmentConfig()
    """Random changes to the images that are trained on."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Number format of training: 32-bit floats or bfloat16."""
    workers: (
        Annotated[int, Field(ge=0, le=10_000)]
        | tuple[Annotated[int, Field(ge=1, le=10_000)], Annotated[int, Field(ge=1, le=10_000)]]
    ) = 0
    """Number of Ray Train workers, or [least, most] for an elastic group; 0 trains in the driver's
    process.
    """
    threads: Annotated[int, Field(ge=1, le=1024)] = 2
    """Number of CPU threads of each worker."""
    gpus_per_worker: Gpus = 0.0
    """Number of GPUs of each worker: a share up to 1, or a whole number."""
    backend: Literal["gloo", "nccl"] = "gloo"
    """Library by which workers communicate: gloo for CPUs, nccl for GPUs."""
    keep_workers: bool = True
    """Whether the workers stay alive between cycles."""
    max_failures: Number = 3
    """How often the training of a cycle is started again after a worker was lost."""
    checkpoint_interval_s: Weight = 60.0
    """Seconds between two checkpoints inside a cycle."""

    @model_validator(mode="after")
    def _one_length(self) -> "TrainConfig":
        if self.steps is not None and self.epochs is not None:
            raise ValueError(f"steps={self.steps} and epochs={self.epochs} are both set; keep one")
        if 0 < self.gpus_per_worker <= 0.5:
            raise ValueError(
                f"gpus_per_worker={self.gpus_per_worker} would let two trainers share one GPU; give 0.6 (and 0.4 to scorers) or a whole one"
            )
        if self.warm_learning_rate is not None and self.policy == "reset":
            raise ValueError(
                f"warm_learning_rate={self.warm_learning_rate} has no effect with policy=reset; set policy to finetune or continue, or leave it out"
            )
        if (self.extra_epochs is None) != (self.extra_every is None):
            raise ValueError("extra_epochs and extra_every go together; set both or neither")
        if isinstance(self.class_weights, tuple) and not any(self.class_weights):
            raise ValueError(
                "class_weights are all 0, and nothing would be learnt; give at least one class a weight"
            )
        return self


class ScoreConfig(Section):
    workers: Annotated[int, Field(ge=0, le=10_000)] = 1
    """Number of scoring tasks that run on Ray Data at a time; 0 scores in the driver's process,
    without Ray.
    """
    threads: Annotated[int, Field(ge=1, le=1024)] = 2
    """Number of batches that a CPU computes side by side, one thread each; as many threads decode
    images beside them.
    """
    batch_size: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = "auto"
    """Number of images that are scored together; `auto` measures which size is fast."""
    precision: Literal["auto", "fp32", "bf16", "reference"] = "auto"
    """Number format of scoring; `auto` takes bfloat16 where the processor supports it, and
    `reference` leaves the network as it was trained.
    """
    shard_size: Count | Literal["auto"] = "auto"
    """Number of images in a task, which is what is recorded, and repeated after an interruption;
    `auto` follows from the pool.
    """
    gpus_per_worker: Gpus = 0.0
    """Number of GPUs of each scoring task: a share up to 1, or a whole number."""
    max_quarantined: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Largest share of the pool's images that may be unusable before the run ends."""


class BudgetConfig(Section):
    """What may be spent, start set included. Shares are of the regions (or pixels, void included) of the whole pool."""

    unit: Annotated[Unit, UNITS] = Field(default_factory=lambda: UNITS.parse("regions"))
    """What the budget counts."""
    start: Amount = 0.02
    """Size of the start set, as a count or a share of the pool."""
    start_rule: Annotated[StartRule, START_RULES] = Field(
        default_factory=lambda: START_RULES.parse("random"), validate_default=False
    )
    """How the start set is chosen: the kind alone, or a mapping with the settings of that kind."""
    per_cycle: Amounts = 0.02
    """What each later query may cost; of a list, the first amount is for cycle 0, and the last one
    repeats.
    """
    amount: Amount = 0.12
    """The whole budget, including the start set, as a count or a share of the pool."""

    @model_validator(mode="after")
    def _start_fits(self) -> "BudgetConfig":
        if type(self.start) is type(self.amount) and self.start > self.amount:
            raise ValueError(
                f"start={self.start} is more than the whole amount={self.amount}; lower start or raise amount"
            )
        return self

    @property
    def steps(self) -> tuple[int | float, ...]:
        """`per_cycle` as a tuple, of one amount where all cycles are of one size."""
        return self.per_cycle if isinstance(self.per_cycle, tuple) else (self.per_cycle,)


GROUP_KEYS = (
    "workers",
    "threads",
    "gpus_per_worker",
    "backend",
    "keep_workers",
    "max_failures",
    "checkpoint_interval_s",
)
"""Of `train`: what holds for the processes that train, whichever model they are at."""
CYCLE_KEYS = ("policy", "warm_learning_rate", "extra_epochs", "extra_every")
"""Of `train`: how a cycle follows the one before it. Final and measured models begin anew."""
DEFAULT_REPEATS = 3


class FinalConfig(Section):
    """The models that are measured: of `final`, `upper-bound`, and beside a run's own at the named budgets."""

    budgets: tuple[Amount, ...] = ()
    """Budgets, in ascending order and at most `budget.amount`, at which a run also trains fresh
    models on what is labelled by then.
    """
    repeats: Count | None = None
    """Number of models that are trained at each budget, to report mean and spread; null is 3 where
    `budgets` are named, else 1.
    """
    train: dict[str, Any] = Field(default_factory=dict)
    """Keys of `train` that differ from those of the models that choose."""
    steps: Steps | None = None
    """As `train.steps`, for the measured models; null takes the run's length."""
    epochs: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """As `train.epochs`, for the measured models; null takes the run's length."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] | None = None
    """As `train.batch_size`, for the measured models; null takes the run's."""
    learning_rate: Positive | None = None
    """As `train.learning_rate`, for the measured models; null takes the run's."""
    schedule: Schedule | None = None
    """As `train.schedule`, for the measured models; null takes the run's."""
    image_size: tuple[Side, Side] | None = None
    """As `data.image_size`, for the measured models; null takes the run's."""

    @model_validator(mode="after")
    def _one_value_a_key(self) -> "FinalConfig":
        if self.steps is not None and self.epochs is not None:
            raise ValueError(f"steps={self.steps} and epochs={self.epochs} are both set; keep one")
        own = {key: getattr(self, key) for key in FINAL_KEYS if getattr(self, key) is not None}
        for key in self.train:
            if key in own:
                raise ValueError(
                    f"{key}={own[key]} and train.{key}={self.train[key]} are both set; keep one"
                )
            if key in GROUP_KEYS:
                raise ValueError(
                    f"train.{key}={self.train[key]}: the same processes train all models; set train.{key} of the run"
                )
            if key in CYCLE_KEYS:
                raise ValueError(
                    f"train.{key}={self.train[key]}: these models begin anew and follow no other; leave it out"
                )
        return self

    @model_validator(mode="after")
    def _budgets_ascend(self) -> "FinalConfig":
        for one, other in itertools.pairwise(self.budgets):
            if type(one) is type(other) and one >= other:
                raise ValueError(
                    f"budgets={list(self.budgets)} do not ascend: {other} comes after {one}; sort them, each once"
                )
        return self

    @property
    def num_repeats(self) -> int:
        """Models that are trained where one is asked for."""
        return self.repeats if self.repeats is not None else DEFAULT_REPEATS if self.budgets else 1

    @property
    def recipe(self) -> Recipe:
        """How these models are trained, where it differs from the models that choose."""
        values = self.model_dump(mode="json")
        own = {key: values[key] for key in FINAL_KEYS if values[key] is not None}
        return Recipe(
            train={"policy": "reset", "warm_learning_rate": None, **own, **self.train},
            image_size=self.image_size,
        )


FINAL_KEYS = ("steps", "epochs", "batch_size", "learning_rate", "schedule")
"""Keys of `train` that `final` has itself."""


class ReportConfig(Section):
    num_images: Annotated[int, Field(ge=0, le=32)] = 4
    """Number of images that the report shows with queries, entropy and predictions."""


class ClusterConfig(Section):
    host: Literal["actor", "process"] = "actor"
    """Where the driver runs: as an actor on the cluster, or in the process of the command."""
    num_cpus: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Logical CPUs of a local cluster that ray_al starts itself; null takes the machine's, at least
    4.
    """
    keep_checkpoints: Count = 2
    """Number of latest cycles whose checkpoints are kept."""
    start_timeout_s: Annotated[float, Field(gt=0, le=1e6)] = 900.0
    """Seconds that a run waits for processes which the cluster does not start, before it ends with
    the reason.
    """


class RunConfig(Section):
    """Everything that a run depends on. `config.yaml` of a run directory holds it complete and resolved."""

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
    """Features of a frozen backbone: which views of an image are trained on, and where features are
    kept.
    """
    train: TrainConfig = TrainConfig(steps=200)
    """How the models that choose are trained."""
    strategy: StrategyConfig = Field(default_factory=StrategyConfig)
    """How regions are scored, and how a query is chosen from the scores."""
    label: Annotated[LabelKind, LABELS] = Field(default_factory=lambda: LABELS.parse({}))
    """What is asked about a region, and who answers."""
    score: ScoreConfig = ScoreConfig()
    """How the work of scoring the pool is distributed and computed."""
    budget: BudgetConfig = Field(default_factory=BudgetConfig)
    """What may be spent, the start set included; shares are of the regions (or pixels, void
    included) of the whole pool.
    """
    final: FinalConfig = FinalConfig()
    """The models that are measured: those of `ray-al final` and `upper-bound`, and a run's own at
    the named budgets.
    """
    report: ReportConfig = ReportConfig()
    """What the report shows."""
    tracking: TrackingConfig = TrackingConfig()
    """Trackers that show the curves elsewhere, cycle by cycle."""
    cluster: ClusterConfig = ClusterConfig()
    """Where the run's processes live, and how long it waits for them."""

    def shard_size(self, num_images: int) -> int:
        """`score.shard_size`, or what `auto` is for a pool: up to 256 images where they are small, so that lanes seldom run dry, fewer
        where a task would take long or one of several workers would get less than four. Of kept features it is up to 1,024: they are
        scored several times as fast."""
        if self.score.shard_size != "auto":
            return self.score.shard_size
        height, width = self.data.image_size
        most = max(64, min(1024 if self.model.is_frozen else 256, 2**25 // (height * width)))
        even = num_images / (4 * self.score.workers) if self.score.workers > 1 else num_images
        return max(16, min(most, 16 * math.ceil(even / 16)))

    @model_validator(mode="after")
    def _train_has_a_length(self) -> "RunConfig":
        if self.train.steps is None and self.train.epochs is None:
            raise ValueError("train: neither steps nor epochs is set; set one")
        if self.data.dataset.needs_root and self.data.root is None:
            raise ValueError(
                f"data.root is missing; dataset {self.data.dataset.kind!r} needs the folder or URI of its images"
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
                f"final.budgets: {largest} is more than budget.amount={self.budget.amount}, which is never reached; leave it out"
            )
        return self

    def with_recipe(self, recipe: Recipe) -> "RunConfig":
        """The configuration with which a plan of this recipe trains.

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
        _override(values, recipe.train)
        _keep_one_length(values, dict(recipe.train))
        train = validate(TrainConfig, values, source="final.train")
        return self.model_copy(update={"data": data, "train": train})

    @property
    def keeps_group(self) -> bool:
        """Whether the group of training workers lives on while the pool is scored.

        Not where both would wait for the same GPU, and not for an elastic group on GPUs, whose shares Ray counts wrongly.
        """
        elastic_on_gpus = isinstance(self.train.workers, tuple) and self.train.gpus_per_worker > 0
        fits = (
            not self.train.gpus_per_worker
            or self.train.gpus_per_worker + self.score.gpus_per_worker <= 1
        )
        return self.train.keep_workers and fits and not elastic_on_gpus

    def strategy_at(self, cycle: int) -> StrategyConfig:
        """The strategy that chooses in `cycle`; the start set's (cycles below 0) follows from `budget.start_rule`."""
        if cycle >= 0:
            return self.strategy
        return (
            self.budget.start_rule.strategy(self.strategy)
            if cycle == START_CYCLE
            else self.strategy.of_start()
        )

    def to_yaml(self) -> str:
        return dump_yaml(self.model_dump(mode="json"))


def parse_override(text: str) -> tuple[list[str], Any]:
    """`a.b=value` as (["a", "b"], value), the value read as YAML.

    Raises:
        ConfigError: it is not of this form.
    """
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--set {text!r}: expected KEY=VALUE, for example --set train.steps=100")
    try:
        return split_key(key.strip()), load_yaml(value, source=f"--set {key.strip()}")
    except ConfigError as error:
        raise ConfigError(
            f"{error}; the value is {value!r}, and where it holds blanks or brackets the shell wants quotes round KEY=VALUE"
        ) from None


def split_key(key: str) -> list[str]:
    """The parts of a dotted key.

    Raises:
        ConfigError: one is empty.
    """
    parts = key.split(".")
    if not all(parts):
        raise ConfigError(
            f"key {key!r}: a part between its dots is empty; give a key such as train.steps"
        )
    return parts


def load_config(path: str, overrides: Iterable[str] = ()) -> RunConfig:
    """Read, override and check a configuration file.

    Paths inside the file are relative to it, paths in `overrides` to the working directory.

    Raises:
        ConfigError: naming the file or key, the value seen and the remedy.
    """
    values = read_yaml(path)
    make_absolute(values, folder_of(path))
    for override in overrides:
        keys, value = parse_override(override)
        apply_setting(values, ".".join(keys), value, folder=os.getcwd())
    return parse_config(values, source=path)


def read_yaml(path: str) -> dict[str, Any]:
    """The keys and values of a YAML file.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    try:
        with before_work():
            data = read_uri(path)
    except ABSENT:
        raise ConfigError(
            f"{path!r}: no such configuration file; give the path of a YAML file"
        ) from None
    except ValueError as error:
        raise ConfigError(
            f"{path!r}: cannot be read ({error}); give the path of a YAML file"
        ) from None
    return parse_yaml(data, source=path)


def parse_yaml(data: bytes | str, *, source: str) -> dict[str, Any]:
    """The keys and values that YAML text holds.

    Raises:
        ConfigError: it is no YAML, or holds no keys.
    """
    values = load_yaml(data, source=source)
    if not isinstance(values, dict):
        found = "nothing" if values is None else f"a {type(values).__name__}"
        raise ConfigError(
            f"{source}: expected keys and values, such as `name: first`, found {found}; write them, or give another file"
        )
    return values


def folder_of(path: str) -> str:
    """The folder, a path or URI, that paths inside the file `path` are relative to."""
    return path.rsplit("/", 1)[0] if "://" in path else os.path.dirname(os.path.abspath(path))


def apply_setting(
    values: dict[str, Any], key: str, value: Any, *, folder: str | None = None
) -> None:
    """Set the dotted `key` in nested `values`; a mapping is merged into what is there. Paths are relative to `folder`.

    Where another kind is named, the settings that only the one before has are left out.
    """
    changed: dict[str, Any] = {}
    *sections, last = split_key(key)
    inner = changed
    for section in sections:
        inner = inner.setdefault(section, {})
    inner[last] = copy.deepcopy(value)
    make_absolute(changed, folder)
    _merge(values, changed, RunConfig)
    _keep_one_length(values.get("train"), changed.get("train"))
    final, changed_final = values.get("final"), changed.get("final")
    if isinstance(final, dict) and isinstance(changed_final, dict):
        _keep_one_length(final.get("train"), changed_final.get("train"))


def parse_config(values: Mapping[str, Any], *, source: str) -> RunConfig:
    """Check `values` and give every problem in one line each.

    Raises:
        ConfigError: as `validate`.
    """
    values = dict(values)
    train = values.get("train")
    if isinstance(train, dict) and "steps" not in train and "epochs" not in train:
        values["train"] = {**train, "steps": 200}
    return validate(RunConfig, values, source=source)


def _keep_one_length(train: Any, changed: Any) -> None:
    """Of steps and epochs the one that was set last counts."""
    if not isinstance(train, dict) or not isinstance(changed, dict):
        return
    for one, other in (("steps", "epochs"), ("epochs", "steps")):
        if changed.get(one) is not None and other not in changed:
            train.pop(other, None)


def _override(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Set `changes` in `values`, of sections key by key; a variant of another kind takes the place of the whole section."""
    for key, value in changes.items():
        known = values.get(key)
        same = (
            isinstance(known, dict)
            and isinstance(value, Mapping)
            and value.get("kind", known.get("kind")) == known.get("kind")
        )
        if isinstance(known, dict) and isinstance(value, Mapping) and same:
            _override(known, value)
        else:
            values[key] = copy.deepcopy(value)


def _merge(
    values: dict[str, Any], changed: Mapping[str, Any], section: type[Section] | None
) -> None:
    """Set `changed` in the values of `section` (None where it is not known), of sections inside it key by key.

    Where another kind of a family is set, settings that this kind does not have are left out.
    """
    for key, value in changed.items():
        field = section.model_fields.get(key) if section is not None else None
        family = family_of(field) if field is not None else None
        if not isinstance(value, dict):
            values[key] = value
            continue
        known = family.spelt_out(values.get(key)) if family is not None else values.get(key)
        if not isinstance(known, dict):
            known = {}
        inner = section_of(field) if field is not None else None
        if family is not None:
            family.leave_out(known, value)
            kind = family.kind_of({**known, **value})
            inner = family.find(kind) if kind in family.kinds else None
        elif inner is not None:
            inner.leave_out(known, value)
        values[key] = known
        _merge(known, value, inner)


PLACES = (("data", "root"), ("model", "weights"), ("features", "store", "root"))
"""Settings that are paths or URIs."""


def make_absolute(values: dict[str, Any], folder: str | None) -> None:
    """Make the paths in `values` absolute, in place."""
    if not folder:
        return
    for *sections, key in PLACES:
        section: Any = values
        for name in sections:
            section = section.get(name) if isinstance(section, dict) else None
        place = section.get(key) if isinstance(section, dict) else None
        if isinstance(place, str) and place and not (key == "weights" and place in WEIGHTS):
            section[key] = absolute(place, folder)


def absolute(path: str, folder: str) -> str:
    """`path` as it is where it is a URI or absolute, else below `folder`, a path or URI."""
    path = path if "://" in path else os.path.expanduser(path)
    if "://" in path or os.path.isabs(path):
        return path if "://" in path else os.path.normpath(path)
    scheme, separator, place = folder.rpartition("://")
    return scheme + separator + os.path.normpath(os.path.join(place, path))
