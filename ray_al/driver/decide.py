"""Decide what comes next in a run: a pure function of its state and configuration."""

from collections.abc import Callable, Sequence

from ray_al.core.config import RunConfig
from ray_al.driver.actions.action import Step
from ray_al.driver.actions.close import Close
from ray_al.driver.actions.close_validation import CloseValidation
from ray_al.driver.actions.collect import Collect
from ray_al.driver.actions.collect_validation import CollectValidation
from ray_al.driver.actions.embed import Embed
from ray_al.driver.actions.extract import Extract
from ray_al.driver.actions.finish import Finish
from ray_al.driver.actions.label import Label
from ray_al.driver.actions.measure import Measure
from ray_al.driver.actions.request import Request
from ray_al.driver.actions.request_validation import RequestValidation
from ray_al.driver.actions.score import Score
from ray_al.driver.actions.segment import Segment
from ray_al.driver.actions.select import Select
from ray_al.driver.actions.stop import Stop
from ray_al.driver.actions.train import Train
from ray_al.driver.actions.wait import Wait
from ray_al.ledger import State

PLAN: Sequence[Callable[[State, RunConfig], Step | None]] = (
    Stop.due,
    # Validation images that people label, before anything else.
    CloseValidation.due,
    RequestValidation.due,
    CollectValidation.due,
    Wait.due_for_validation,
    Segment.due,
    # The open query, if there is one.
    Close.due,
    Label.due,
    Request.due,
    Collect.due,
    Wait.due,
    Select.due_again,
    # The next cycle.
    Embed.due,
    Train.due,
    Measure.due,
    Finish.due,
    Score.due,
    Extract.due,
    Select.due,
)
"""Asked in this order; the first that is due comes next. A step relies on those before it."""


def decide(state: State, config: RunConfig) -> Step:
    """Return what comes next in a run."""
    for due in PLAN:
        if (step := due(state, config)) is not None:
            return step
    raise AssertionError("a query can always be selected")
