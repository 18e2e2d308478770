"""Directories of runs and sweeps, opened for reading.

Properties import at their call, not above, what takes long to load: most commands need little.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray_al.core.errors import ConfigError
from ray_al.core.making import CLAIM, unfinished
from ray_al.core.places import before_work
from ray_al.core.run_dir import RunDir
from ray_al.core.storage import Storage, check_writable
from ray_al.ledger import RUN, Journal, State, fold

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from ray_al.core.config import RunConfig
    from ray_al.driver.loop import Outcome
    from ray_al.sweep.table import TrialRow

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A run directory. Every property reads it anew.

    Attributes:
        uri: its path or URI.
        outcome: how the call of `run` or `resume` that returned this ended: its `kind` is
            `finished`, `waiting` (for labels, whose tasks `detail` names) or `interrupted`. None
            if the run was only opened.
    """

    uri: str
    outcome: "Outcome | None" = None

    @property
    def storage(self) -> Storage:
        """The files of the run."""
        return Storage(self.uri)

    @property
    def config(self) -> "RunConfig":
        """The resolved configuration, as the journal records it."""
        from ray_al.ledger.config import read_config

        return read_config(self.storage)

    @property
    def state(self) -> State:
        """Everything that the events of the journal say, folded."""
        return fold(Journal(self.storage).events)

    @property
    def curve(self) -> list[dict[str, Any]]:
        """One row per trained cycle, with the columns of `curve.csv` as keys."""
        from ray_al.report.rows import curve_rows

        return curve_rows(self.state)

    @property
    def queries(self) -> "pa.Table | None":
        """The queried regions of all cycles, one row each; None before the first query.

        The columns are those of the `query.parquet` files and `cycle`, the cycle that chose the
        region (-1 for the start set).
        """
        import pyarrow as pa

        from ray_al.core.parquet import read_parquet

        storage, tables = self.storage, []
        for query in self.state.queries:
            table = read_parquet(storage.read_ref(query.file))
            cycle = pa.array([query.cycle] * len(table), pa.int32())
            tables.append(table.append_column("cycle", cycle))
        return pa.concat_tables(tables, promote_options="permissive") if tables else None

    @property
    def labels(self) -> "pa.Table | None":
        """The label of every labelled region, one row each; None before the first label.

        The columns are those of the `labels/part-*.parquet` files: the region's box, its mask (PNG
        bytes, 255 where nothing is known) or its classes, the annotator and the seconds.
        """
        import pyarrow as pa

        from ray_al.core.parquet import read_parquet

        storage = self.storage
        tables = [read_parquet(storage.read_ref(ref)) for ref in self.state.label_parts]
        return pa.concat_tables(tables, promote_options="permissive") if tables else None

    @property
    def validation_labels(self) -> "pa.Table | None":
        """The masks that people made of validation images, one row each; None without any.

        The columns are those of `labels`; the images are regions of number 0.
        """
        import pyarrow as pa

        from ray_al.core.parquet import read_parquet

        storage, known = self.storage, self.state.validation
        tables = [read_parquet(storage.read_ref(ref)) for ref in known.parts] if known else []
        return pa.concat_tables(tables, promote_options="permissive") if tables else None

    def predict(
        self, images: "Sequence[str | np.ndarray]", cycle: int | None = None
    ) -> "Iterator[np.ndarray]":
        """Predict images in this process; `ray_al.predict_images` predicts many, and writes files.

        Args:
            images: paths, URIs, or decoded images, uint8 (H, W, 3).
            cycle: whose model predicts; None for the final model, or else that of the last cycle.

        Yields:
            The class ids of each image, uint8 (H, W) at its own size.

        Raises:
            ConfigError: there is no such model, or an array is no image.
            DataError: an image cannot be used.
        """
        from ray_al.predict.run import predict_arrays

        yield from predict_arrays(self.uri, images, cycle)

    def write_report(self) -> str:
        """Write `report.html` and `curve.csv`, and return the path of the page.

        Labels are compared with validation masks if the data set has the classes of the run.

        Raises:
            ConfigError: a validation image or its mask is missing.
        """
        import numpy as np

        from ray_al.datasets import masks, open_dataset
        from ray_al.datasets.mask_decoder import count_values
        from ray_al.report.build import write_report

        dataset = open_dataset(self.config.data, self.storage)
        names = self.state.created.class_names
        if tuple(dataset.class_names) != names:
            logger.warning(
                "the classes of the data set are now %s, and those of the run %s; the report "
                "leaves validation masks out; `ray-al extend` adds and renames classes",
                list(dataset.class_names),
                list(names),
            )
            return write_report(self.uri, [0] * len(names))
        by_people = self.state.validation
        counts = np.zeros(256, dtype=np.int64)
        if by_people is not None and by_people.closed is not None:
            known = by_people.closed.class_pixels
            counts[: len(known)] = known
        for image in dataset.splits["val"]:
            if image.image_id in dataset.unlabelled:
                continue
            if image.mask_uri is None:
                raise ConfigError(
                    f"{image.uri}: this validation image has no mask any more; put it back"
                )
            mask = masks.read_mask(image.mask_uri, dataset.decoder)
            for class_id, count in count_values(mask).items():
                counts[class_id] += count
        return write_report(self.uri, counts[: dataset.num_classes].tolist())


@dataclass(frozen=True)
class Sweep:
    """A sweep directory.

    Attributes:
        uri: its path or URI.
        is_complete: whether every planned run has finished, failed or been stopped.
    """

    uri: str
    is_complete: bool

    @property
    def trials(self) -> "tuple[TrialRow, ...]":
        """One row per run, in the order of the plan."""
        from ray_al.sweep.table import sweep_table

        return sweep_table(self.uri).trials


def open_place(place: str) -> Storage:
    """Return the storage of `place` once it has answered, so a wrong place is named at the start.

    Raises:
        ConfigError: it cannot be opened.
    """
    with before_work():
        storage = Storage(place)
        storage.exists()
        return storage


def check_output(folder: str, key: str) -> None:
    """Refuse a folder for other files that cannot be written, or is a run directory.

    Args:
        folder: path or URI; it may not exist yet.
        key: the option that names it, for the message.

    Raises:
        ConfigError: it is a run directory, or cannot be written.
    """
    check_writable(folder, key=key)
    if open_place(folder).exists(Journal.FIRST):
        raise ConfigError(
            f"{key} {folder!r} is a run directory, whose files are the run's own; give another "
            "folder"
        )


def open_run(run_dir: str) -> Run:
    """Open a run directory for reading.

    Raises:
        ConfigError: it is no run directory.
    """
    storage = open_place(run_dir)
    if storage.exists("sweep.yaml"):
        raise ConfigError(
            f"{run_dir}: a sweep directory; give one of its runs, below {run_dir}/runs, or "
            f"continue the sweep with `ray-al sweep --resume {run_dir}`"
        )
    if not storage.exists(Journal.FIRST):
        begun = storage.exists(CLAIM) or storage.exists(RunDir.CONFIG)
        rest = f" ({unfinished(storage, RUN)})" if begun else ""
        raise ConfigError(
            f"{run_dir}: not a run directory (it has no {Journal.FIRST}); "
            f"give one that `ray-al run` made{rest}"
        )
    return Run(run_dir)


def open_writable_run(run_dir: str) -> Run:
    """Open a run directory whose files will change.

    Raises:
        ConfigError: it is no run directory, or cannot be written.
    """
    opened = open_run(run_dir)
    check_writable(run_dir, key="RUN_DIR")
    return opened


def extend(
    run_dir: str,
    *,
    add_classes: Sequence[str] = (),
    rename_classes: Sequence[str] = (),
    budget: int | float | str | None = None,
    overrides: Sequence[str] = (),
    dry_run: bool = False,
) -> dict[str, Any]:
    """Take the images that lie in the data set now into the pool of a run that has begun.

    Images that are no longer there leave the pool; their labels stay. `resume` continues the run.

    Args:
        run_dir: path or URI of the run directory.
        add_classes: names of classes that come after the others; `NAME=VALUE` gives the id or
            colour of the class in masks where that is not the next id.
        rename_classes: `OLD=NEW` each.
        budget: the whole budget from now on, as a count or as a share of the pool that the run
            began with.
        overrides: settings to change, such as `data.root=/mnt/camvid`, as for `resume`.
        dry_run: whether to check and tell only; nothing is written.

    Returns:
        What changed, or would change: `changed`, sentences in `lines`, and the fields of the event.

    Raises:
        ConfigError: something cannot change, or cannot work; nothing was written.
        RunHeldError: another process drives the run.
        RayALError: too many new images cannot be used; nothing was written.
    """
    from ray_al.driver.extend.run import extend_run
    from ray_al.driver.extend.wanted import read_wanted

    if dry_run:
        open_run(run_dir)
    else:
        open_writable_run(run_dir)
    text = None if budget is None else str(budget)
    wanted = read_wanted(add_classes, rename_classes, text, overrides)
    return extend_run(run_dir, wanted, dry_run=dry_run)
