"""Write labels that arrived, and say what they cost."""

from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa

from ray_al.core.errors import RayALError
from ray_al.core.families.annotators import Annotator, Answers, LabelRequest
from ray_al.core.families.units import Received
from ray_al.core.run_dir import CycleDir
from ray_al.core.types import Refusal
from ray_al.driver.asking import names_of
from ray_al.driver.context import Context
from ray_al.driver.existing import is_paid
from ray_al.driver.pool import table_bytes
from ray_al.ledger import Query
from ray_al.ledger.parse import Malformed, parse
from ray_al.ledger.records import LabelsReceived


def receive_labels(
    context: Context,
    query: Query,
    labels: Answers,
    table: pa.Table,
    *,
    also_refused: tuple[Refusal, ...] = (),
    seconds: float,
) -> LabelsReceived:
    """Write the labels of a query, and return the record of them and of what they cost.

    Args:
        table: QUERY_SCHEMA, the regions of the query.
        also_refused: regions of which the annotator was not asked.
        seconds: how long they took.
    """
    before = {refusal.name for refusal in context.state.refused}
    rows = {
        (row["image_id"], row["region"]): row
        for row in table.select(["image_id", "region", "cost", "num_pixels"]).to_pylist()
    }
    given = labels.table.select(["image_id", "region", "clicks"]).to_pylist()
    names = [(row["image_id"], row["region"]) for row in given]
    queried = [rows[name] for name in names]
    clicks, unit, ref = sum(row["clicks"] for row in given), context.config.budget.unit, None
    images = np.unique(labels.table.column("image_index").to_numpy())
    num_opened = int((~context.pool.labelled_images[images]).sum())
    received = Received(
        reserved=sum(row["cost"] for row in queried), clicks=clicks, num_opened=num_opened
    )
    cost = unit.cost(received) if is_paid(context.config, query.cycle) else 0
    check_cost(query, cost, unit.name)
    if given:
        name = CycleDir(query.cycle + 1).labels(len(context.state.label_parts))
        ref = context.storage.put(name, table_bytes(labels.table), attempt=context.state.attempt)
        context.pool.mark_labelled(labels.table)
    return LabelsReceived(
        cycle=query.cycle,
        part=ref,
        num_regions=len(given),
        cost=cost,
        num_pixels=sum(row["num_pixels"] for row in queried),
        num_images=len(images),
        clicks=clicks,
        refused=(*labels.refused, *also_refused),
        corrected=tuple(name for name in names if name in before),
        seconds=seconds,
        term=context.state.attempt,
    )


def collect_answers(annotator: Annotator, asked: LabelRequest) -> Answers:
    """Return the answers of an annotator, whose refusals can be recorded.

    Refusals of regions that have a label are left out: the first answer counts.

    Raises:
        RayALError: a refusal is of another type, or holds values of other types; or a label is of
            a region that has one, so it would be paid for twice.
    """
    answers = annotator.collect(asked)
    for refusal in answers.refused:
        _check_refusal(refusal)
    if again := sorted(names_of(answers.table) & asked.taken):
        image_id, region = again[0]
        raise RayALError(
            f"label.annotator: it gave {len(again)} labels of regions that have one already, such "
            f"as region {region} of {image_id}; it must leave out the regions of `taken`"
        )
    left = tuple(refusal for refusal in answers.refused if refusal.name not in asked.taken)
    return replace(answers, refused=left)


def _check_refusal(refusal: object) -> None:
    try:
        if not isinstance(refusal, Refusal):
            raise Malformed(f"it is a {type(refusal).__name__}")
        parse(Refusal, asdict(refusal))
    except Malformed as error:
        raise RayALError(
            f"label.annotator: it refused a region by {refusal}, which cannot be recorded "
            f"({error}); give a ray_al.core.types.Refusal of image_id (text), region (a whole "
            "number), reason (text) and final (True or False)"
        ) from None


def check_cost(query: Query, cost: int, unit: str) -> None:
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
