"""The names of the files in a run directory. They are a public contract: scripts read them.

All names are relative to the run directory. `Storage.put` stores a file in a folder `attempt-N`
next to its name if an earlier attempt left other content there; events hold the name in use.
"""

from dataclasses import dataclass

from ray_al.core.types import SEED_CYCLE, START_CYCLE

MODEL = "model.pt"
"""The weights, among the files of a checkpoint."""
OPTIMIZER = "optimizer.pt"
"""The state of the optimizer, among the files of a checkpoint."""
PREVIEW = "preview.npz"
"""Predictions for the images that the report follows, among the files of a checkpoint."""
KEPT_FILES = (PREVIEW,)
"""Files of a checkpoint that stay when a later cycle is trained, since the report shows them."""
SNAPSHOT = "snapshot-"
"""Begins the names of earlier states of a training, among the files of a checkpoint."""


class RunDir:
    """The files that a run has once."""

    CONFIG = "config.yaml"
    """The resolved configuration, for people and scripts; the journal holds it as well."""
    MANIFEST = "manifest.parquet"
    """The images of the pool."""
    VALIDATION = "validation.parquet"
    """The images that were drawn from the pool for validation, if `data.val_split` is a share."""
    UNLABELLED_VALIDATION = "validation/manifest.parquet"
    """The validation images without a mask, if people label them (`label.validation`)."""
    VALIDATION_TASKS = "validation/tasks"
    """The folder with the tasks for people who label validation images."""
    JOURNAL = "journal"
    """The folder of the events."""
    LEASE = "lease.json"
    """The process that carries the run on."""
    STATUS = "status.json"
    """What that process is doing."""
    TRACKING = "tracking.json"
    """What each tracker was sent."""
    CURVE = "curve.csv"
    """One row per trained cycle."""
    REPORT = "report.html"
    """The report, in one file."""
    METRICS_LEASE = "metrics.lease.json"
    """The process that writes results of final models."""
    MAPS = "maps"
    """The folder of the region maps."""
    MAPS_MANIFEST = f"{MAPS}/{MANIFEST}"
    """The manifest with the number of regions of each image, for kinds that have region maps."""

    @staticmethod
    def extended_manifest(number: int) -> str:
        """Return the name of the manifest that the `number`-th extension of the run wrote, from 1.

        It begins with all rows of the manifest before it.
        """
        return f"pool/{number:04d}/{RunDir.MANIFEST}"

    @staticmethod
    def validation_labels(part: int) -> str:
        """Return the name of a part of the labels of validation images, numbered from 0."""
        return f"validation/labels/part-{part:05d}.parquet"

    @staticmethod
    def validation_mask(number: int) -> str:
        """Return the name of the mask of a validation image, by its row in their manifest."""
        return f"validation/masks/{number:05d}.png"

    @staticmethod
    def event(sequence: int) -> str:
        """Return the name of an event."""
        return f"{RunDir.JOURNAL}/{sequence:08d}.json"


@dataclass(frozen=True)
class CycleDir:
    """The files of a cycle; those of the start set have cycles of their own, below 0."""

    cycle: int

    @property
    def folder(self) -> str:
        """The folder of the cycle."""
        names = {SEED_CYCLE: "seed", START_CYCLE: "start"}
        return f"cycles/{names.get(self.cycle, f'{self.cycle:04d}')}"

    @staticmethod
    def cycle_of(name: str) -> int:
        """Return the cycle that a file below `cycles/` belongs to; 0 for those of the start set."""
        folder = name.split("/")[1]
        return int(folder) if folder.isdigit() else 0

    def query(self, number: int) -> str:
        """Return the name of the `number`-th query of the cycle, from 1."""
        names = {START_CYCLE: f"{CycleDir(0).folder}/start", SEED_CYCLE: f"{self.folder}/start"}
        name = names.get(self.cycle, f"{self.folder}/query")
        return f"{name}{_numbered(number)}.parquet"

    def tasks(self, number: int) -> str:
        """Return the folder with the tasks for people, of the `number`-th query that it labels."""
        return f"{self.folder}/tasks{_numbered(number)}"

    def labels(self, part: int) -> str:
        """Return the name of a label part; parts are numbered through all cycles."""
        return f"{self.folder}/labels/part-{part:05d}.parquet"

    @property
    def scores(self) -> str:
        """The folder of the scores."""
        return f"{self.folder}/scores"

    @property
    def features(self) -> str:
        """The folder with features of candidates."""
        return f"{self.folder}/features"

    @property
    def picked(self) -> str:
        """The images that lazy scoring looks at."""
        return f"{self.folder}/picked.parquet"

    def training(self, member: int = 0) -> "TrainingDir":
        """Return the files of a training; further members of an ensemble count from 1."""
        return TrainingDir(f"{self.folder}/member-{member}" if member else self.folder)

    def measuring(self, repeat: int) -> "TrainingDir":
        """Return the files of the training of a measured model; they do not outlive it."""
        return TrainingDir(f"{self.folder}/measured-{repeat}")


@dataclass(frozen=True)
class TrainingDir:
    """The files of a training in `folder`."""

    folder: str

    @property
    def checkpoint(self) -> str:
        """The folder of the model."""
        return f"{self.folder}/checkpoint"

    @property
    def partial_checkpoint(self) -> str:
        """The state from which an interrupted training continues."""
        return f"{self.folder}/progress.pt"


@dataclass(frozen=True)
class ResultDir(TrainingDir):
    """The files of models that nothing is chosen by; `folder` is `final` or `upper_bound`."""

    @property
    def metrics(self) -> str:
        """The results."""
        return f"{self.folder}/metrics.json"

    @property
    def models(self) -> str:
        """Of several models those that are done, until the results of all are written."""
        return f"{self.folder}/models.json"

    @property
    def lease(self) -> str:
        """The process that trains the models."""
        return f"{self.folder}/lease.json"


def _numbered(number: int) -> str:
    return f"-{number}" if number > 1 else ""
