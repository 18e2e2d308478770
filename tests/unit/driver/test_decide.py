import re
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.records import (
    cycle_trained,
    features_extracted,
    member_trained,
    pool_embedded,
    pool_scored,
    regions_computed,
    run_created,
)

from ray_al import driver
from ray_al.core.config import FeaturesConfig, parse_config
from ray_al.core.types import FileRef, PoolSizes, Refusal
from ray_al.driver.actions.close import Close
from ray_al.driver.actions.close_validation import CloseValidation
from ray_al.driver.actions.collect import Collect
from ray_al.driver.actions.collect_validation import CollectValidation
from ray_al.driver.actions.embed import Embed
from ray_al.driver.actions.extract import Extract
from ray_al.driver.actions.finish import Finish
from ray_al.driver.actions.label import Label
from ray_al.driver.actions.request import Request
from ray_al.driver.actions.request_validation import RequestValidation
from ray_al.driver.actions.score import Score
from ray_al.driver.actions.segment import Segment
from ray_al.driver.actions.select import Select
from ray_al.driver.actions.stop import Stop
from ray_al.driver.actions.train import Train
from ray_al.driver.actions.wait import Wait
from ray_al.driver.budget import planned_amount, whole_budget
from ray_al.driver.decide import PLAN, decide
from ray_al.ledger import Query, State
from ray_al.ledger.records import ValidationClosed
from ray_al.ledger.validation import ValidationLabels

REF = FileRef.of("q", b"")
CONFIG = parse_config({}, source="test")
SCORED = parse_config({"budget": {"start_rule": "scored"}}, source="test")
KCENTER = parse_config(
    {"strategy": {"batch": {"kind": "kcenter"}}, "budget": {"start_rule": "kcenter"}}, source="test"
)
AWARE = parse_config({"budget": {"start_rule": "class_aware"}}, source="test")
SUPERPIXELS = parse_config({"regions": {"kind": "superpixels"}}, source="test")
WINDOWS = parse_config({"regions": {"kind": "windows"}}, source="test")
ENSEMBLE = parse_config(
    {"strategy": {"acquisition": "bald", "passes": {"kind": "ensemble", "count": 3}}}, source="test"
)
LAZY = parse_config({"strategy": {"lazy": {"min_recall": 0.9}}}, source="test")
FILES = parse_config({"label": {"annotator": {"kind": "files", "share": 0.5}}}, source="test")
FROZEN = parse_config(
    {
        "model": {"kind": "composed", "backbone": {"kind": "torchvision"}},
        "budget": {"start": 2, "per_cycle": 5, "amount": 12},
    },
    source="test",
)
UNSTORED = FROZEN.model_copy(update={"features": FeaturesConfig(store={"kind": "none"})})
FROZEN_WINDOWS = FROZEN.model_copy(update={"regions": WINDOWS.regions})
NEW = State(created=run_created(amount=12, num_regions=100), attempt=1)
OPEN = replace(NEW, queries=(Query(cycle=-1, file=REF, num_regions=4, cost=4),), reserved=4)


def with_query(state: State, **changes) -> State:
    return replace(state, queries=(replace(state.queries[-1], **changes),))


NAMES = frozenset(("a", region) for region in range(4))
ANSWERED = with_query(OPEN, answered=4, received_cost=4, collected_in_attempt=1)
CLOSED = replace(with_query(ANSWERED, closed=True), spent=4, reserved=0)
TRAINED = replace(CLOSED, trained={0: cycle_trained()})
REQUESTED = with_query(OPEN, tasks="t")
START_MODEL = {-1: cycle_trained(-1)}
START_SCORES = {-1: pool_scored(-1)}


def validating(**changes) -> State:
    """A run whose five validation images people label, half of them at least."""
    return replace(NEW, validation=ValidationLabels(num_images=5, **changes))


LEFT_OUT = Refusal(image_id="a", region=0, reason="r", final=True)
CORRECTABLE = Refusal(image_id="a", region=0, reason="r", final=False)
VALIDATED = ValidationClosed(masks=(), num_unanswered=0, class_pixels=())


@pytest.mark.parametrize(
    ("state", "config", "action"),
    [
        (NEW, CONFIG, Select(-1)),
        (NEW, SCORED, Train(-1)),
        (replace(NEW, trained=START_MODEL), SCORED, Score(-1)),
        (replace(NEW, trained=START_MODEL, scored=START_SCORES), SCORED, Select(-1)),
        (OPEN, CONFIG, Label(-1)),
        (ANSWERED, CONFIG, Close(-1)),
        (with_query(OPEN, refused=NAMES, collected_in_attempt=1), CONFIG, Close(-1)),
        (CLOSED, CONFIG, Train(0)),
        (TRAINED, CONFIG, Score(0)),
        (replace(TRAINED, scored={0: pool_scored()}), CONFIG, Select(0)),
        (replace(TRAINED, spent=12), CONFIG, Finish("budget spent")),
        (replace(TRAINED, finished="done"), CONFIG, Stop("done")),
        (NEW, KCENTER, Train(-1)),
        (replace(NEW, trained=START_MODEL), KCENTER, Score(-1)),
        (replace(NEW, trained=START_MODEL, scored=START_SCORES), KCENTER, Extract(-1)),
        (
            replace(
                NEW,
                trained=START_MODEL,
                scored=START_SCORES,
                extracted={-1: features_extracted(-1)},
            ),
            KCENTER,
            Select(-1),
        ),
        (replace(TRAINED, scored={0: pool_scored()}), KCENTER, Extract(0)),
        (NEW, AWARE, Select(-2)),
        (with_query(CLOSED, cycle=-2), AWARE, Train(-1)),
        (replace(with_query(CLOSED, cycle=-2), trained=START_MODEL), AWARE, Score(-1)),
        (
            replace(with_query(CLOSED, cycle=-2), trained=START_MODEL, scored=START_SCORES),
            AWARE,
            Select(-1),
        ),
        (NEW, FROZEN, Select(-1)),
        (CLOSED, FROZEN, Embed()),
        (replace(CLOSED, embedded=pool_embedded()), FROZEN, Train(0)),
        (CLOSED, UNSTORED, Train(0)),
        (TRAINED, FROZEN, Embed()),
        (replace(TRAINED, spent=7), FROZEN, Score(0)),
        (replace(TRAINED, spent=12), FROZEN, Finish("budget spent")),
        (OPEN, FROZEN, Label(-1)),
        (NEW, FROZEN_WINDOWS, Embed()),
        (replace(NEW, embedded=pool_embedded()), FROZEN_WINDOWS, Score(-1)),
        (NEW, SUPERPIXELS, Segment()),
        (replace(NEW, maps=regions_computed()), SUPERPIXELS, Score(-1)),
        (replace(NEW, maps=regions_computed(), scored=START_SCORES), SUPERPIXELS, Select(-1)),
        (NEW, WINDOWS, Score(-1)),
        (CLOSED, ENSEMBLE, Train(0, member=1)),
        (replace(CLOSED, members={0: {1: member_trained()}}), ENSEMBLE, Train(0, member=2)),
        (
            replace(CLOSED, members={0: {1: member_trained(), 2: member_trained()}}),
            ENSEMBLE,
            Train(0),
        ),
        (replace(TRAINED, scored={0: pool_scored(recall=0.8)}), LAZY, Score(0, rest=True)),
        (replace(TRAINED, scored={0: pool_scored(recall=0.95)}), LAZY, Select(0)),
        (replace(TRAINED, scored={0: pool_scored(recall=0.8, rest=True)}), LAZY, Select(0)),
        (OPEN, FILES, Request(-1)),
        (REQUESTED, FILES, Collect(-1)),
        (with_query(REQUESTED, collected_in_attempt=1), FILES, Wait("t")),
        (with_query(REQUESTED, collected_in_attempt=1, answered=1), FILES, Wait("t")),
        (with_query(REQUESTED, collected_in_attempt=1, answered=2), FILES, Close(-1)),
        (
            replace(with_query(REQUESTED, collected_in_attempt=1, answered=1), attempt=2),
            FILES,
            Collect(-1),
        ),
        (validating(), FILES, RequestValidation()),
        (validating(tasks="t"), FILES, CollectValidation()),
        (validating(tasks="t", collected_in_attempt=1), FILES, Wait("t")),
        (validating(tasks="t", collected_in_attempt=1, answered=2), FILES, Wait("t")),
        (validating(tasks="t", answered=2), FILES, CollectValidation()),
        (validating(tasks="t", collected_in_attempt=1, answered=3), FILES, CloseValidation()),
        (
            validating(tasks="t", collected_in_attempt=1, answered=2, refused=(LEFT_OUT,)),
            FILES,
            CloseValidation(),
        ),
        (
            validating(tasks="t", collected_in_attempt=1, answered=2, refused=(CORRECTABLE,)),
            FILES,
            Wait("t"),
        ),
        (validating(tasks="t", answered=5, closed=VALIDATED), FILES, Select(-1)),
        (validating(), CONFIG, CollectValidation()),
        (validating(collected_in_attempt=1, answered=1), CONFIG, CloseValidation()),
        (validating(), SUPERPIXELS, CollectValidation()),
        (replace(validating(), finished="done"), FILES, Stop("done")),
    ],
)
def test_decide(state, config, action):
    assert decide(state, config) == action


def test_two_percent_six_times_is_twelve_percent():
    budget = CONFIG.budget
    pool = PoolSizes(num_regions=9175, num_pixels=1, num_images=367)
    amount = whole_budget(budget, pool)
    assert amount == 1101
    spent = planned_amount(budget, pool, -1, amount)
    sizes = [spent]
    for cycle in range(5):
        sizes.append(planned_amount(budget, pool, cycle, amount - spent))
        spent += sizes[-1]
    assert spent == amount
    assert sizes == [184, 183, 184, 183, 184, 183]


def test_the_readme_lists_the_steps_in_the_order_in_which_they_are_asked():
    readme = Path(driver.__file__).parent / "README.md"
    listed = re.findall(r"^\| `([A-Z][A-Za-z]+)` \|", readme.read_text(), flags=re.MULTILINE)
    assert listed == [due.__self__.__name__ for due in PLAN]  # type: ignore[attr-defined]


def test_the_readme_says_in_which_room_each_file_is():
    folder = Path(driver.__file__).parent
    rooms = (folder / "README.md").read_text().partition("| Room |")[2].partition("\n\n")[0]
    files = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"`(\w+\.py)`", rooms)) == files
