"""`final`: how measured models are trained, and at which budgets; what is refused."""

from dataclasses import asdict, replace

import pytest
from helpers.records import cycle_trained, models_measured, pool_scored, run_created

from ray_al.core.config import (
    CYCLE_KEYS,
    FINAL_KEYS,
    GROUP_KEYS,
    TrainConfig,
    apply_setting,
    parse_config,
)
from ray_al.core.errors import ConfigError, StorageError, VerifyError
from ray_al.core.types import FileRef, PoolSizes, Recipe
from ray_al.driver.actions.finish import NOTHING_LEFT, Finish
from ray_al.driver.actions.measure import Measure
from ray_al.driver.actions.score import Score
from ray_al.driver.actions.select import Select
from ray_al.driver.budget import check_final_budgets, final_budgets
from ray_al.driver.cycles import budget_to_measure
from ray_al.driver.decide import decide
from ray_al.driver.verify import _check_measured
from ray_al.ledger import Event, Query, State, fold
from ray_al.ledger.parse import parse
from ray_al.ledger.records import ModelMeasured, ModelsMeasured
from ray_al.train.checks import check_train

POOL = PoolSizes(num_images=4, num_regions=100, num_pixels=1000)
CREATED = {**asdict(POOL), "amount": 12}


def final(**values):
    return parse_config({"train": {"steps": 10, "batch_size": 4}, "final": values}, source="test")


def trained_by(config):
    return config.with_recipe(config.final.recipe)


def test_measured_models_train_as_the_others_where_nothing_else_is_said():
    config = parse_config(
        {"train": {"policy": "finetune", "warm_learning_rate": 0.1, "learning_rate": 0.5}},
        source="test",
    )
    other = trained_by(config)
    assert (other.train.policy, other.train.warm_learning_rate, other.train.learning_rate) == (
        "reset",
        None,
        0.5,
    )
    assert (
        other.train.model_copy(update={"policy": "finetune", "warm_learning_rate": 0.1})
        == config.train
    )
    assert other.data == config.data
    assert config.with_recipe(Recipe()) == config


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"steps": 50, "batch_size": 2, "image_size": [32, 48]},
            {"steps": 50, "epochs": None, "batch_size": 2},
        ),
        ({"train": {"epochs": 3}}, {"steps": None, "epochs": 3, "batch_size": 4}),
        (
            {"epochs": 3, "train": {"weight_decay": 0.5}},
            {"steps": None, "epochs": 3, "weight_decay": 0.5},
        ),
        (
            {"train": {"augment": {"mirror": False}, "optimizer": "adamw"}},
            {"optimizer": "adamw", "steps": 10},
        ),
    ],
)
def test_a_recipe_changes_what_it_names(values, expected):
    config = final(**values)
    train = trained_by(config).train
    assert {key: getattr(train, key) for key in expected} == expected
    assert trained_by(config).data.image_size == tuple(values.get("image_size", (120, 160)))
    again = parse_config(config.model_dump(mode="json"), source="again")
    assert again == config
    assert trained_by(again) == trained_by(config)


def test_sections_of_train_are_changed_key_by_key():
    config = parse_config(
        {
            "train": {"augment": {"mirror": False, "scale": [0.5, 2]}},
            "final": {"train": {"augment": {"mirror": True}}},
        },
        source="test",
    )
    augment = trained_by(config).train.augment
    assert (augment.mirror, augment.scale) == (True, (0.5, 2))


def test_every_key_of_train_may_differ_or_is_refused_by_name():
    free = set(TrainConfig.model_fields) - set(GROUP_KEYS) - set(CYCLE_KEYS)
    assert set(FINAL_KEYS) < free
    assert set(GROUP_KEYS) | set(CYCLE_KEYS) < set(TrainConfig.model_fields)
    for key in (*GROUP_KEYS, *CYCLE_KEYS):
        with pytest.raises(ConfigError, match=rf"final.*train\.{key}=1"):
            final(train={key: 1})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"train": {"stepz": 3}}, "did you mean 'steps'"),
        ({"train": {"steps": -3}}, "steps (value -3)"),
        ({"train": {"steps": 3, "epochs": 3}}, "keep one"),
        ({"steps": 3, "train": {"steps": 4}}, "steps=3 and train.steps=4 are both set"),
        ({"train": 3}, "final.train"),
        ({"repeats": 0}, "final.repeats"),
        ({"budgets": [0.02, 0.02]}, "do not ascend"),
        ({"budgets": [0.04, 0.02]}, "do not ascend"),
        ({"budgets": [0.02, 0.5]}, "0.5 is more than budget.amount=0.12"),
        ({"budgets": [1.5]}, "a share lies between 0 and 1"),
        ({"budgets": 3}, "final.budgets"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(values, words):
    with pytest.raises(ConfigError) as refused:
        final(**values)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("budget", "budgets", "words"),
    [
        ({}, [0.02, 13], r"13 is 13 regions, more than budget.amount, 12"),
        ({}, [0.02, 2], r"\[0.02, 2\] are \[2, 2\] regions, which do not ascend"),
        ({}, [1], "1 is 1 regions, less than budget.start, 2"),
        (
            {"unit": "clicks", "start": 2, "per_cycle": 2, "amount": 12},
            [0.5],
            "final.budgets=0.5: a share of all clicks",
        ),
    ],
)
def test_budgets_that_the_run_cannot_meet_are_refused(budget, budgets, words):
    config = parse_config({"budget": budget, "final": {"budgets": budgets}}, source="test")
    with pytest.raises(ConfigError, match=words):
        check_final_budgets(config, POOL, 12)


def test_budgets_in_units():
    config = parse_config(
        {"budget": {"amount": 0.5}, "final": {"budgets": ["2 %", 0.125, 13]}}, source="test"
    )
    assert final_budgets(config, POOL) == (2, 13, 13)
    assert [
        parse_config({"final": values}, source="test").final.num_repeats
        for values in ({}, {"budgets": [0.1]}, {"repeats": 5})
    ] == [1, 3, 5]


def test_settings_of_the_final_recipe_are_checked_like_those_of_train():
    for changes, words in (
        (
            {
                "train": {"workers": 3, "batch_size": 8, "steps": 1},
                "final": {"train": {"batch_size": 2}},
            },
            "final.batch_size: 2",
        ),
        ({"final": {"train": {"batch_norm": {"sync": True}}}}, "final.train.batch_norm.sync"),
    ):
        with pytest.raises(ConfigError, match=words):
            check_train(parse_config(changes, source="test"))


def test_of_two_lengths_the_one_that_was_set_last_counts():
    values = {"final": {"train": {"epochs": 3}}}
    apply_setting(values, "final.train.steps", 5)
    assert values == {"final": {"train": {"steps": 5}}}


REF = FileRef.of("q", b"")
CONFIG = parse_config({"final": {"budgets": ["2 %", "7 %", "12 %"]}}, source="test")


def at(cycle, costs, **changes):
    """Return a run of 12 of 100 regions that has just trained `cycle`.

    Args:
        costs: the cost of all labels after each cycle.
    """
    trained = {number: cycle_trained(number, cost=cost) for number, cost in enumerate(costs)}
    queries = (Query(cycle=cycle - 1, file=REF, num_regions=2, cost=2, closed=True),)
    return State(
        created=run_created(**CREATED),
        attempt=1,
        queries=queries,
        trained=trained,
        spent=costs[-1],
        **changes,
    )


@pytest.mark.parametrize(
    ("state", "action"),
    [
        (at(0, [2]), Measure(0)),
        (at(0, [2], measured={0: models_measured()}), Score(0)),
        (at(1, [2, 4]), Score(1)),
        (at(2, [2, 4, 6]), Score(2)),
        (at(3, [2, 4, 6, 8]), Measure(3)),
        (
            at(3, [2, 4, 6, 8], scored={3: pool_scored(3)}, measured={3: models_measured(3)}),
            Select(3),
        ),
        (at(5, [2, 4, 6, 8, 10, 12]), Measure(5)),
        (at(5, [2, 4, 6, 8, 10, 12], measured={5: models_measured(5)}), Finish("budget spent")),
        (at(2, [2, 4, 6], filled=2), Measure(2)),
        (at(2, [2, 4, 6], filled=2, measured={2: models_measured(2)}), Finish(NOTHING_LEFT)),
    ],
)
def test_a_budget_is_measured_at_the_first_cycle_that_reaches_it(state, action):
    assert decide(state, CONFIG) == action


def test_without_budgets_nothing_is_measured():
    assert decide(at(0, [2]), parse_config({}, source="test")) == Score(0)


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ([179], None),
        ([180], 200),
        ([200], 200),
        ([199, 405], 400),
        ([199, 350], None),
        ([199, 350, 500], 400),
    ],
)
def test_what_a_query_could_not_spend_is_no_reason_to_wait(costs, expected):
    """Queries of 200 pixels whose regions do not fill them; a tenth of a query is let go."""
    created = run_created(**{**CREATED, "num_pixels": 10_000, "amount": 1200})
    config = parse_config(
        {"budget": {"unit": "pixels"}, "final": {"budgets": [200, 400, 1200]}}, source="test"
    )
    state = replace(at(len(costs) - 1, costs), created=created)
    assert budget_to_measure(state, config, len(costs) - 1) == expected


def test_budgets_that_share_a_cycle_are_measured_once():
    config = parse_config({"final": {"budgets": [2, 3, 4]}}, source="test")
    assert budget_to_measure(at(0, [2]), config, 0) == 2
    assert budget_to_measure(at(1, [2, 4]), config, 1) == 4
    assert budget_to_measure(at(2, [2, 4, 6]), config, 2) is None
    assert budget_to_measure(at(0, [2]), config, -1) is None


METRICS = {"val": {"miou": 0.5, "pixel_accuracy": 0.6, "iou": [0.4, None]}}
MODEL = {
    "cycle": 0,
    "repeat": 0,
    "metrics": METRICS,
    "num_steps": 3,
    "num_images": 2,
    "train_seconds": 1.0,
    "evaluate_seconds": 1.0,
}
MODELS = {"cycle": 0, "budget": 2, "mious": [0.5], "miou": 0.5, "spread": None, "seconds": 2.0}
TRAINED = State(
    created=run_created(**CREATED, class_names=["a", "b"]), trained={0: cycle_trained()}
)


def event(kind, data):
    return Event(sequence=1, kind=kind, time="t", data=data)


def test_measured_models_fold_into_the_state():
    state = fold([event("model_measured", MODEL), event("models_measured", MODELS)], TRAINED)
    assert state.repeats == {0: {0: parse(ModelMeasured, MODEL)}}
    assert state.measured == {0: parse(ModelsMeasured, MODELS)}


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("model_measured", {"metrics": {}}, "metrics lacks"),
        (
            "model_measured",
            {"metrics": {"val": {**METRICS["val"], "iou": [0.1]}}},
            "not those of 2 classes",
        ),
        ("model_measured", {"cycle": 4}, "cycle 4 is measured and was not trained"),
        ("model_measured", {"repeat": "x"}, "repeat is 'x'"),
        ("models_measured", {"mious": [0.25]}, r"its mIoU are \[0.25\]"),
        ("models_measured", {"mious": 3}, "not a list"),
        ("models_measured", {"spread": "x"}, "spread is 'x'"),
    ],
)
def test_a_damaged_event_is_named(kind, changes, words):
    with pytest.raises(StorageError, match=words):
        events = [event("model_measured", MODEL)] if kind == "models_measured" else []
        data = {**(MODEL if kind == "model_measured" else MODELS), **changes}
        fold([*events, event(kind, data)], TRAINED)


@pytest.mark.parametrize("changes", [{"miou": 0.6}, {"spread": 0.1}, {"budget": 13}, {"budget": 0}])
def test_verify_compares_what_is_told_with_each_model(changes, monkeypatch):
    events = [event("model_measured", MODEL), event("models_measured", {**MODELS, **changes})]
    monkeypatch.setattr("ray_al.driver.verify.State", lambda: TRAINED)
    with pytest.raises(VerifyError, match="models_measured"):
        _check_measured(events)
    _check_measured([events[0], event("models_measured", MODELS)])
