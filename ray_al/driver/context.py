"""Hold what the actions of one host of one run share."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from shlex import quote
from typing import TYPE_CHECKING

import pyarrow as pa

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError, RayALError
from ray_al.core.shares import exact
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.datasets import Dataset, open_dataset
from ray_al.driver.pool import Pool, read_table
from ray_al.label.truth import ground_truth
from ray_al.ledger import Ledger, State
from ray_al.ledger.records import BrokenImage, ImagesQuarantined, Record

if TYPE_CHECKING:
    from ray_al.train.trainer import Trainer

ReportProgress = Callable[..., None]
"""Reports progress; takes (stage, done, total, waiting=""), with the reason for a wait."""
SHOWN = 20
"""Broken images that a message lists."""
SHOWN_ADDED = 5
"""Images added to the pool's folder that a message lists."""
logger = logging.getLogger(__name__)


class Context:
    """Configuration, ledger, data set and pool of a run, and the means to record and report.

    Args:
        ledger: holds the state of the run and records facts.
        note: reports the progress of a stage, and what it waits for.
        should_stop: returns whether somebody asked for a clean end.
    """

    opens_images = True
    """Whether images that no scorer has opened are opened before they are queried."""

    def __init__(
        self,
        storage: Storage,
        config: RunConfig,
        ledger: Ledger,
        note: ReportProgress,
        should_stop: Callable[[], bool],
    ) -> None:
        self.storage, self.config, self.ledger = storage, config, ledger
        self.note, self.should_stop = note, should_stop
        self._trainer: Trainer | None = None
        state = ledger.state
        self.dataset = open_dataset(config.data, storage)
        if list(self.dataset.class_names) != list(state.created.class_names):
            raise ConfigError(
                f"{storage.root}: the run has the classes "
                f"{list(state.created.class_names)}, its data set now has "
                f"{list(self.dataset.class_names)} "
                "(a class in data.ignore_ids is none); put the data set back as it was, or add and "
                "rename classes with `ray-al extend`"
            )
        check_validation(self.dataset, state, config)
        self.reload()

    def reload(self) -> None:
        """Rebuild the pool from the ledger."""
        self.pool = Pool(self.storage, self.state, self.config)
        self.truth = ground_truth(self.pool.manifest, self.pool.regions_of, self.dataset.decoder)

    def read_scores(self, ref: FileRef) -> pa.Table:
        """Read a part of the scores."""
        return read_table(self.storage, ref)

    @property
    def state(self) -> State:
        """The state after the last event."""
        return self.ledger.state

    def append(self, record: Record) -> None:
        """Record a fact in the middle of an action."""
        self.ledger.append(record)

    @property
    def trainer(self) -> "Trainer":
        """What trains models; its workers are kept from one training to the next."""
        if self._trainer is None:
            # Loads PyTorch, which commands that only choose or read do not need.
            from ray_al.train.trainer import open_trainer

            self._trainer = open_trainer(self.config, self.storage.root, self.state.attempt)
        return self._trainer

    def close(self) -> None:
        """End the training workers."""
        if self._trainer is not None:
            self._trainer.close()
            self._trainer = None

    def quarantine(self, broken: Sequence[BrokenImage]) -> None:
        """Record broken images; stop if there are too many."""
        self.append(ImagesQuarantined(images=tuple(broken)))
        self.pool.quarantine(image.image_id for image in broken)
        self.check_quarantine()

    def check_quarantine(self) -> None:
        """Stop if too many images are broken, by `check_quarantine` below."""
        removed = self.state.removed
        broken = {name: why for name, why in self.state.quarantined.items() if name not in removed}
        check_quarantine(broken, self.config, len(self.pool.manifest), run_uri=self.storage.root)


def check_validation(dataset: Dataset, state: State, config: RunConfig) -> None:
    """Refuse other validation images than those that the run began with.

    The rest of its learning curve would not be comparable. Runs of earlier versions, which did not
    record their validation images, are not checked.

    Raises:
        ConfigError: images or masks were added or removed.
    """
    known = state.created.val_digest
    if known is not None and known != dataset.digest("val"):
        raise ConfigError(
            f"data.root={config.data.root}: the images and masks of the validation split "
            f"{config.data.val_split!r} ({len(dataset.splits['val'])} here) are not those that the "
            "run began with; put them back as they were, or begin a new run"
        )


def check_quarantine(
    broken: Mapping[str, str], config: RunConfig, num_images: int, *, run_uri: str | None = None
) -> None:
    """Stop if more images cannot be used than `scoring.max_quarantined` allows.

    Args:
        broken: image_id -> what is wrong and what to do.
        num_images: number of images of the pool.
        run_uri: the run that they belong to; None while it is being created.

    Raises:
        RayALError: with the first 20 of them and both remedies.
    """
    limit = config.scoring.max_quarantined
    if len(broken) <= exact(limit) * num_images:
        return
    setting = f"--set scoring.max_quarantined={math.ceil(100 * len(broken) / num_images) / 100:g}"
    if run_uri is None:
        remedy = f"See to them, or do without them: {setting}"
    else:
        remedy = (
            f"See to them, then `ray-al resume {quote(run_uri)}` takes them back, or do without "
            f"them: `ray-al resume {quote(run_uri)} {setting}`"
        )
    listed = "; ".join(f"{image_id}: {error}" for image_id, error in list(broken.items())[:SHOWN])
    more = f"; and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
    raise RayALError(
        f"{len(broken)} of {num_images} pool images cannot be read or used, more than "
        f"scoring.max_quarantined={limit} allows. {remedy}. {listed}{more}"
    )
