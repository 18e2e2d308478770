"""Models that were trained and evaluated."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ray_al.core.run_dir import MODEL
from ray_al.core.types import FileRef
from ray_al.ledger.parse import Malformed
from ray_al.ledger.records.parts import Labelled, LeftOut, Record, SplitMetrics


@dataclass(frozen=True, kw_only=True)
class CycleTrained(Record):
    """The model of a cycle was trained and evaluated.

    Attributes:
        files: the files of the checkpoint by name, `model.pt` among them.
        metrics: by split; `val` is missing for models that are trained before cycle 0.
        class_pixels: labelled pixels of each class.
        num_images: images that were trained on.
        left_out: labels that could not be used.
        losses: pairs of step and loss, thinned.
        kept_step: the step whose weights were kept; None for the last one.
        evaluations: pairs of step and validation mIoU, among which the best was kept.
    """

    kind: ClassVar[str] = "cycle_trained"
    cycle: int
    files: Mapping[str, FileRef]
    num_steps: int
    train_seconds: float
    metrics: Mapping[str, SplitMetrics]
    labelled: Labelled
    left_out: LeftOut | None = None
    class_pixels: tuple[float, ...]
    losses: tuple[tuple[int, float], ...] = ()
    num_images: int
    evaluate_seconds: float
    kept_step: int | None = None
    evaluations: tuple[tuple[int, float], ...] | None = None

    def __post_init__(self) -> None:
        _check_files(self.files)

    @property
    def model(self) -> FileRef:
        """The weights."""
        return self.files[MODEL]

    @property
    def val(self) -> SplitMetrics | None:
        """The metrics on the validation images; None if there are none, and before cycle 0."""
        return self.metrics.get("val")

    @property
    def last_loss(self) -> float | None:
        """The mean of the last tenth of `losses`; None if no step was made."""
        last = self.losses[-max(1, len(self.losses) // 10) :]
        return sum(loss for _, loss in last) / len(last) if last else None


@dataclass(frozen=True, kw_only=True)
class MemberTrained(Record):
    """A further member of a cycle's ensemble was trained; members count from 1."""

    kind: ClassVar[str] = "member_trained"
    cycle: int
    member: int
    files: Mapping[str, FileRef]
    num_steps: int
    train_seconds: float

    def __post_init__(self) -> None:
        _check_files(self.files)

    @property
    def model(self) -> FileRef:
        """The weights."""
        return self.files[MODEL]


@dataclass(frozen=True, kw_only=True)
class ModelMeasured(Record):
    """A fresh model by the final recipe was trained on the labels of a cycle and evaluated."""

    kind: ClassVar[str] = "model_measured"
    cycle: int
    repeat: int
    metrics: Mapping[str, SplitMetrics]
    num_steps: int
    num_images: int
    train_seconds: float
    evaluate_seconds: float
    kept_step: int | None = None
    evaluations: tuple[tuple[int, float], ...] | None = None
    left_out: LeftOut | None = None

    def __post_init__(self) -> None:
        _check_metrics(self.metrics, self.cycle)

    @property
    def val(self) -> SplitMetrics:
        """The metrics on the validation split."""
        return self.metrics["val"]


@dataclass(frozen=True, kw_only=True)
class ModelsMeasured(Record):
    """All models of a cycle were measured.

    Attributes:
        budget: the budget of `final.budgets`, in units, that the cycle's labels count as.
        mious: mIoU of each model on the validation split.
        spread: sample standard deviation of `mious`; None for one model.
    """

    kind: ClassVar[str] = "models_measured"
    cycle: int
    budget: int
    mious: tuple[float, ...]
    miou: float
    spread: float | None
    seconds: float


def _check_files(files: Mapping[str, FileRef]) -> None:
    if MODEL not in files:
        raise Malformed(f"files lacks {[MODEL]}")


def _check_metrics(metrics: Mapping[str, SplitMetrics], cycle: int) -> None:
    """Refuse a trained cycle without metrics on the validation split."""
    if cycle >= 0 and "val" not in metrics:
        raise Malformed("metrics lacks ['val']")
