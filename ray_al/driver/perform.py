"""Carry out actions; this is the only place that acts.

Every action is safe to repeat: files are written first, then one event names them.
"""

import functools
import time
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from ray_al.core.errors import RayALError
from ray_al.core.families.annotators import Asked, Labels, Name
from ray_al.core.families.label_parts import Classes
from ray_al.core.families.units import Received
from ray_al.core.run_dir import CycleDir
from ray_al.datasets.images import read_pool_image
from ray_al.driver import choose, embedding, measure, scoring, training
from ray_al.driver import decide as actions
from ray_al.driver.context import Context, Done
from ray_al.driver.pool import read_table, table_bytes
from ray_al.driver.proposals import Predictor
from ray_al.driver.quarantine import begin_session, quarantine_broken, split_query
from ray_al.driver.refusals import check_usable
from ray_al.ledger import Query, State
from ray_al.train.trainer import Trainer, open_trainer

"""Reasons that a message lists."""
LEAD_TO_TRAINING = (
    actions.Segment,
    actions.Embed,
    actions.Select,
    actions.Label,
    actions.Train,
    actions.Measure,
)
"""Actions of a new host that come before training, without any scoring in between."""


class Performer:
    """Carries out actions for one host of one run."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._trainer: Trainer | None = None

    def begin(self, action: actions.Action) -> None:
        """Begin the session of a host.

        The training workers start while the first labels are made, unless people make them.
        Quarantined images and stored features are checked again.

        Args:
            action: the next action.
        """
        config = self.context.config
        if (
            config.label.annotator.answers_at_once
            and config.keeps_group
            and isinstance(action, LEAD_TO_TRAINING)
        ):
            self._open_trainer().start()
        begin_session(self.context)
        embedding.drop_outdated(self.context)

    def perform(self, action: actions.Action, state: State) -> Done:
        """Carry out `action` and return the event that records it."""
        maps_are_new = state.maps is not self.context.state.maps
        self.context.state = state
        if maps_are_new:
            self.context.reload()
        table: Mapping[type, Callable[[Context, Any], Done]] = {
            actions.Segment: scoring.segment,
            actions.Embed: embedding.embed,
            actions.Label: label,
            actions.Collect: collect,
            actions.Close: close,
            actions.Train: self._train,
            actions.Measure: self._measure,
            actions.Score: scoring.score,
            actions.Extract: scoring.extract,
            actions.Select: choose.select,
            actions.Finish: finish,
        }
        return table[type(action)](self.context, action)

    def tidy(self, action: actions.Action, state: State) -> None:
        """Remove files that an action, now recorded, made superfluous."""
        if isinstance(action, actions.Train) and not action.member:
            self.context.state = state
            training.drop_old_checkpoints(self.context, action.cycle)

    def _train(self, context: Context, action: actions.Train) -> Done:
        return training.train(context, action, self._open_trainer())

    def _measure(self, context: Context, action: actions.Measure) -> Done:
        return measure.measure(context, action, self._open_trainer())

    def _open_trainer(self) -> Trainer:
        if self._trainer is None:
            self._trainer = open_trainer(
                self.context.config, self.context.storage.root, self.context.state.term
            )
        return self._trainer

    def close(self) -> None:
        """End the training workers."""
        if self._trainer is not None:
            self._trainer.close()
            self._trainer = None


def label(context: Context, action: actions.Label) -> Done:
    """Ask the annotator for the labels of the open query."""
    start = time.monotonic()
    query, annotator = context.state.queries[-1], context.config.label.annotator
    table = read_table(context.storage, query.file)
    context.note("label", 0, len(table))
    if not annotator.answers_at_once:
        return _request(context, query, table)
    _, refused = split_query(context, table)
    labels = annotator.collect(_asked(context, query, table, left_out=_names(refused)))
    if annotator.reads_masks:
        check_usable(context.state, labels)
    labels = replace(labels, refused=(*labels.refused, *refused))
    return _received(context, query, labels, table, time.monotonic() - start)


def _request(context: Context, query: Query, table: pa.Table) -> Done:
    """Make the tasks for people who label, without images that turn out broken."""
    quarantine_broken(context, np.unique(table.column("image_index").to_numpy()).tolist())
    _, refused = split_query(context, table)
    asked = _asked(context, query, table, left_out=_names(refused))
    num_tasks = context.config.label.annotator.request(asked)
    return "labels_requested", {
        "cycle": query.cycle,
        "tasks": asked.folder,
        "num_tasks": num_tasks,
        "refused": refused,
    }


def _asked(
    context: Context,
    query: Query,
    table: pa.Table,
    *,
    left_out: Set[Name] = frozenset(),
    taken: Set[Name] = frozenset(),
) -> Asked:
    """Describe the open query to the annotator."""
    heights, widths = (context.pool.manifest.column(name) for name in ("height", "width"))
    read = _image_reader(context)
    return Asked(
        storage=context.storage,
        folder=query.tasks or _new_folder(context, query),
        query=table,
        left_out=left_out,
        taken=taken,
        label=context.config.label,
        classes=Classes(names=context.dataset.class_names, colors=context.dataset.colors),
        regions_of=context.pool.regions_of,
        size_of=lambda index: (heights[index].as_py(), widths[index].as_py()),
        read_image=read,
        propose=_proposer(context, query.cycle, read),
        truth=context.truth,
    )


def _new_folder(context: Context, query: Query) -> str:
    """Return the folder for the tasks of a query; a cycle may have several queries."""
    number = sum(other.cycle == query.cycle for other in context.state.queries)
    return CycleDir(query.cycle + 1).tasks(number)


def _names(rows: Iterable[Mapping[str, Any]]) -> Set[Name]:
    return {(row["image_id"], row["region"]) for row in rows}


def _image_reader(context: Context) -> Callable[[int], np.ndarray]:
    """Return a reader: image_index -> uint8 (H, W, 3).

    It keeps the last image, because tasks are made image by image.
    """
    uris, heights, widths = (
        context.pool.manifest.column(name) for name in ("uri", "height", "width")
    )
    return functools.lru_cache(maxsize=1)(
        lambda index: read_pool_image(
            uris[index].as_py(), (heights[index].as_py(), widths[index].as_py())
        )
    )


def _proposer(
    context: Context, cycle: int, read: Callable[[int], np.ndarray]
) -> Callable[[int], np.ndarray | None]:
    """Return a predictor: image_index -> class ids of the model of `cycle`, uint8 (H, W).

    The model is loaded at the first call.
    """
    if cycle not in context.state.trained or training.is_untrained(context, cycle):
        return lambda index: None

    @functools.cache
    def predictor() -> Callable[[int], np.ndarray]:
        # Imports torch, which a run without people does not need here.

        weights = context.storage.read_ref(context.state.trained[cycle].model)
        predict = Predictor(context.config, context.dataset.num_classes, weights)
        return lambda index: predict(read(index))

    return lambda index: predictor()(index)


def collect(context: Context, action: actions.Collect) -> Done:
    """Import the answers that people gave so far."""
    start = time.monotonic()
    query = context.state.queries[-1]
    table = read_table(context.storage, query.file)
    asked = _asked(context, query, table, taken=_labelled_names(context))
    labels = context.config.label.annotator.collect(asked)
    return _received(context, query, labels, table, time.monotonic() - start)


def _labelled_names(context: Context) -> set[Name]:
    names: set[Name] = set()
    for ref in context.state.label_parts:
        names |= _names(read_table(context.storage, ref, ["image_id", "region"]).to_pylist())
    return names


def _received(
    context: Context, query: Query, labels: Labels, table: pa.Table, seconds: float
) -> Done:
    """Write the labels, and return the event that records them and what they cost."""
    before = {refusal.name for refusal in context.state.refused}
    rows = {
        (row["image_id"], row["region"]): row
        for row in table.select(["image_id", "region", "cost", "num_pixels"]).to_pylist()
    }
    given = labels.table.select(["image_id", "region", "clicks"]).to_pylist()
    queried = [rows[row["image_id"], row["region"]] for row in given]
    clicks, unit, ref = sum(row["clicks"] for row in given), context.config.budget.unit, None
    images = np.unique(labels.table.column("image_index").to_numpy())
    num_opened = int((~context.pool.labelled_images[images]).sum())
    cost = unit.cost(
        Received(reserved=sum(row["cost"] for row in queried), clicks=clicks, num_opened=num_opened)
    )
    _check_cost(query, cost, unit.name)
    if given:
        name = CycleDir(query.cycle + 1).labels(len(context.state.label_parts))
        ref = context.storage.put(name, table_bytes(labels.table), attempt=context.state.term)
        context.pool.label(labels.table)
    return "labels_received", {
        "cycle": query.cycle,
        "part": ref.as_dict() if ref else None,
        "num_regions": len(given),
        "cost": cost,
        "num_pixels": sum(row["num_pixels"] for row in queried),
        "num_images": len(images),
        "clicks": clicks,
        "refused": list(labels.refused),
        "corrected": [
            [row["image_id"], row["region"]]
            for row in given
            if (row["image_id"], row["region"]) in before
        ],
        "seconds": seconds,
        "term": context.state.term,
    }


def _check_cost(query: Query, cost: int, unit: str) -> None:
    """Refuse to record labels that cost more than was reserved for them.

    Raises:
        RayALError: naming both amounts; nothing was recorded.
    """
    left = query.cost - query.received_cost
    if cost > left:
        raise RayALError(
            f"the labels of cycle {query.cycle + 1} cost {cost} {unit}, {left} were left of what "
            "was reserved for them; this is a fault of ray_al, nothing was recorded: please report "
            "it with the run's config.yaml"
        )


def close(context: Context, action: actions.Close) -> Done:
    """Close the query; refund what was reserved for missing answers and cheaper labels."""
    query = context.state.queries[-1]
    if query.tasks is not None:
        table = read_table(context.storage, query.file)
        context.config.label.annotator.close(_asked(context, query, table))
    unanswered = query.num_regions - query.answered
    return "query_closed", {
        "cycle": query.cycle,
        "num_unanswered": unanswered,
        "refunded": query.cost - query.received_cost,
    }


def finish(context: Context, action: actions.Finish) -> Done:
    """Record the end of the run."""
    return "run_finished", {"reason": action.reason}
