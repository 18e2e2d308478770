"""What the actions of one host of one run share."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError, RayALError
from ray_al.core.shares import exact
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.datasets import Dataset, open_dataset
from ray_al.driver.pool import Pool, read_table
from ray_al.label.truth import ground_truth
from ray_al.ledger import State

Append = Callable[[str, Mapping[str, Any]], State]
Note = Callable[..., None]
"""Of (stage, done, total, waiting=""): progress, and what it waits for."""
Done = tuple[str, Mapping[str, Any]]
"""Kind and data of the event that records an action."""


class Context:
    """Of one host.

    Args:
        append: records an event and returns the new state.
        note: tells (stage, done, total) for progress, and what is waited for.
        should_stop: whether somebody asked for a clean end.
    """

    opens_images = True
    """Whether a query opens its images first, where no scorer has."""

    def __init__(
        self,
        storage: Storage,
        config: RunConfig,
        state: State,
        append: Append,
        note: Note,
        should_stop: Callable[[], bool],
    ) -> None:
        self.storage, self.config, self.state = storage, config, state
        self._append, self.note, self.should_stop = append, note, should_stop
        self.dataset = open_dataset(config.data)
        if list(self.dataset.class_names) != list(state.created.class_names):
            raise ConfigError(
                f"{storage.root}: the run began with the classes {list(state.created.class_names)}, its data set now has "
                f"{list(self.dataset.class_names)} (a class in data.ignore_ids is none); begin a new run"
            )
        check_validation(self.dataset, state, config)
        self.reload()

    def reload(self) -> None:
        """Read the pool from the ledger."""
        self.pool = Pool(self.storage, self.state, self.config)
        self.truth = ground_truth(self.pool.manifest, self.pool.regions_of, self.dataset.decoder)

    def read_scores(self, ref: FileRef) -> pa.Table:
        """A part of the scores."""
        return read_table(self.storage, ref)

    def append(self, kind: str, data: Mapping[str, Any]) -> None:
        """Record a fact in the middle of an action."""
        self.state = self._append(kind, data)

    def quarantine(self, broken: list[dict[str, str]]) -> None:
        """Record broken images; stop where there are too many."""
        self.append("images_quarantined", {"images": broken})
        self.pool.quarantine(image["image_id"] for image in broken)
        self.check_quarantine()

    def check_quarantine(self) -> None:
        """Stop where too many images are broken, as of `check_quarantine` below."""
        check_quarantine(
            self.state.quarantined, self.config, len(self.pool.manifest), run_uri=self.storage.root
        )


def check_validation(dataset: Dataset, state: State, config: RunConfig) -> None:
    """Refuse other validation images than the run began with: its curve would go on with another measure.

    Raises:
        ConfigError: images or their masks came or went. Runs of earlier versions did not record them.
    """
    known = state.created.val_digest
    if known is not None and known != dataset.digest("val"):
        raise ConfigError(
            f"data.root={config.data.root}: the images and masks of the validation split {config.data.val_split!r} "
            f"({len(dataset.splits['val'])} here) are not those that the run began with; put them back as they were, or begin a new run"
        )


def check_quarantine(
    broken: Mapping[str, str], config: RunConfig, num_images: int, *, run_uri: str | None = None
) -> None:
    """Stop where more images cannot be used than `score.max_quarantined` allows.

    Args:
        broken: image_id -> what is wrong and what to do.
        run_uri: the run that they belong to; None while it is made.

    Raises:
        RayALError: with the first 20 of them and both remedies.
    """
    limit = config.score.max_quarantined
    if len(broken) <= exact(limit) * num_images:
        return
    setting = f"--set score.max_quarantined={math.ceil(100 * len(broken) / num_images) / 100:g}"
    if run_uri is None:
        remedy = f"See to them, or do without them: {setting}"
    else:
        remedy = f"See to them, then `ray-al resume {run_uri}` takes them back, or do without them: `ray-al resume {run_uri} {setting}`"
    listed = "; ".join(f"{image_id}: {error}" for image_id, error in list(broken.items())[:20])
    more = f"; and {len(broken) - 20} more" if len(broken) > 20 else ""
    raise RayALError(
        f"{len(broken)} of {num_images} pool images cannot be read or used, more than score.max_quarantined={limit} allows. {remedy}. {listed}{more}"
    )
