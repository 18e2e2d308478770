"""Take the labels of the open query from an annotator who answers at once."""

import time
from dataclasses import dataclass
from typing import Self

from ray_al.core.config import RunConfig
from ray_al.core.errors import RayALError
from ray_al.core.families.annotators import Answers
from ray_al.core.types import RegionName
from ray_al.driver.actions.action import Action, open_query
from ray_al.driver.asking import describe_query, names_of
from ray_al.driver.context import Context
from ray_al.driver.existing import annotator_at
from ray_al.driver.pool import read_table
from ray_al.driver.quarantine import refuse_broken
from ray_al.driver.receiving import collect_answers, receive_labels
from ray_al.driver.refusals import check_usable
from ray_al.ledger import State
from ray_al.ledger.records import LabelsReceived


@dataclass(frozen=True)
class Label(Action):
    """Take the labels of the open query from an annotator who answers at once."""

    leads_to_training = True
    cycle: int

    @classmethod
    def due(cls, state: State, config: RunConfig) -> Self | None:
        """Label the open query if the annotator answers at once."""
        query = open_query(state)
        if query is None or not annotator_at(config, query.cycle).answers_at_once:
            return None
        return cls(query.cycle)

    def perform(self, context: Context) -> LabelsReceived:
        """Take the labels of all regions whose images can be used."""
        start = time.monotonic()
        query = context.state.queries[-1]
        annotator = annotator_at(context.config, query.cycle)
        table = read_table(context.storage, query.file)
        context.note("label", 0, len(table))
        refused = refuse_broken(context, table)
        left_out = {refusal.name for refusal in refused}
        asked = describe_query(context, query, table, left_out=left_out)
        labels = collect_answers(annotator, asked)
        _check_all_answered(labels, names_of(table) - left_out)
        if annotator.reads_masks:
            check_usable(context.state, labels)
        seconds = time.monotonic() - start
        return receive_labels(context, query, labels, table, also_refused=refused, seconds=seconds)


def _check_all_answered(labels: Answers, asked: set[RegionName]) -> None:
    """Stop if nothing more can come and regions have no answer, as the query would stay open.

    Raises:
        RayALError: naming one of these regions; nothing was recorded.
    """
    final = {refusal.name for refusal in labels.refused if refusal.final}
    if missing := sorted(asked - names_of(labels.table) - final):
        image_id, region = missing[0]
        raise RayALError(
            f"label.annotator: it answers at once, but says nothing of {len(missing)} of "
            f"{len(asked)} regions that it was asked for, such as region {region} of {image_id}; "
            "it must label each region, or refuse it with final=True"
        )
