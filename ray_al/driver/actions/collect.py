"""Take in the answers of people."""

import time
from dataclasses import dataclass
from typing import Self

from ray_al.core.config import RunConfig
from ray_al.core.types import RegionName
from ray_al.driver.actions.action import Action, open_query
from ray_al.driver.asking import describe_query, names_of
from ray_al.driver.context import Context
from ray_al.driver.pool import read_table
from ray_al.driver.receiving import collect_answers, receive_labels
from ray_al.ledger import State
from ray_al.ledger.records import LabelsReceived


@dataclass(frozen=True)
class Collect(Action):
    """Take in the answers that people gave so far."""

    cycle: int

    @classmethod
    def due(cls, state: State, config: RunConfig) -> Self | None:
        """Collect once a host, so that each resume looks for new answers."""
        query = open_query(state)
        if query is None or query.collected_in_attempt >= state.attempt:
            return None
        return cls(query.cycle)

    def perform(self, context: Context) -> LabelsReceived:
        """Take in all answers that can be used and that were not taken in before."""
        start = time.monotonic()
        query = context.state.queries[-1]
        table = read_table(context.storage, query.file)
        asked = describe_query(context, query, table, taken=_labelled_names(context))
        labels = collect_answers(context.config.label.annotator, asked)
        return receive_labels(context, query, labels, table, seconds=time.monotonic() - start)


def _labelled_names(context: Context) -> set[RegionName]:
    names: set[RegionName] = set()
    for ref in context.state.label_parts:
        names |= names_of(read_table(context.storage, ref, ["image_id", "region"]))
    return names
