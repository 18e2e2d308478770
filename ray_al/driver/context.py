"""What the actions of one host of one run share."""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from ray_al.core.config import RunConfig
from ray_al.core.errors import RayALError
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.datasets import open_dataset
from ray_al.driver.pool import Pool, read_table
from ray_al.label import simulated
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

    def __init__(self, storage: Storage, config: RunConfig, state: State, append: Append, note: Note, should_stop: Callable[[], bool]) -> None:
        self.storage, self.config, self.state = storage, config, state
        self._append, self.note, self.should_stop = append, note, should_stop
        self.dataset = open_dataset(config.data)
        self.reload()

    def reload(self) -> None:
        """Read the pool from the ledger."""
        self.pool = Pool(self.storage, self.state, self.config)
        self.truth = simulated.ground_truth(self.pool.manifest, self.pool.regions_of, self.dataset.decoder)

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
        check_quarantine(self.state.quarantined, self.config, len(self.pool.manifest))


def check_quarantine(broken: Mapping[str, str], config: RunConfig, num_images: int) -> None:
    """Stop where more images are broken than `score.max_quarantined` allows.

    Raises:
        RayALError: with the list.
    """
    limit = config.score.max_quarantined * num_images
    if len(broken) > limit:
        listed = "; ".join(f"{image_id}: {error}" for image_id, error in list(broken.items())[:20])
        raise RayALError(
            f"{len(broken)} of {num_images} pool images cannot be read, more than score.max_quarantined="
            f"{config.score.max_quarantined} allows; mend them or raise it. {listed}"
        )
