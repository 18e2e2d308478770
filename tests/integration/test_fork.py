import pytest
from helpers.compared import VALUES
from helpers.run_reading import queries

from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.families.start import START_RULES
from ray_al.core.storage import Storage
from ray_al.driver.create import create_run
from ray_al.driver.fork import fork_run, start_config
from ray_al.driver.loop import run_loop
from ray_al.driver.verify import verify
from ray_al.ledger.config import read_config


@pytest.fixture
def start(tmp_path):
    config = parse_config(
        {**VALUES, "data": {**VALUES["data"], "root": str(tmp_path / "data")}}, source="test"
    )
    uri = create_run(start_config(config), str(tmp_path / "start"))
    return config, uri


def test_a_forked_run_chooses_what_a_run_of_its_own_chooses(start, tmp_path):
    config, uri = start
    run_loop(uri)
    told = []
    run_loop(
        fork_run(uri, config, str(tmp_path / "forked")),
        on_trained=lambda state: told.append(len(state.trained)),
    )
    run_loop(create_run(config, str(tmp_path / "alone")))
    assert queries(str(tmp_path / "forked")) == queries(str(tmp_path / "alone"))
    assert told == [1, 2, 3]
    assert verify(str(tmp_path / "forked"))["spent"] == 12


def test_a_fork_needs_a_trained_start_and_a_free_place(start, tmp_path):
    config, uri = start
    with pytest.raises(ConfigError, match="has not trained cycle 0"):
        fork_run(uri, config, str(tmp_path / "new"))
    run_loop(uri)
    with pytest.raises(ConfigError, match="exists already"):
        fork_run(uri, config, uri)
    assert (
        start_config(
            config.model_copy(
                update={
                    "budget": config.budget.model_copy(
                        update={"start_rule": START_RULES.parse("scored")}
                    )
                }
            )
        )
        is None
    )


def test_a_fork_scores_with_the_batch_size_that_a_run_alone_would_take(
    start, tmp_path, monkeypatch
):
    """The start scores nothing, so nothing was measured for it."""
    config, uri = start
    config = config.model_copy(
        update={"scoring": config.scoring.model_copy(update={"batch_size": "auto"})}
    )
    uri = create_run(start_config(config), str(tmp_path / "unmeasured"))
    run_loop(uri)
    assert read_config(Storage(uri)).scoring.batch_size == 1
    monkeypatch.setattr(
        "ray_al.driver.create.measure_batch_size",
        lambda config, num_classes: 8 if config.strategy.acquisition == "entropy" else 1,
    )
    forked, alone = (
        fork_run(uri, config, str(tmp_path / "forked")),
        create_run(config, str(tmp_path / "alone")),
    )
    assert read_config(Storage(forked)).scoring == read_config(Storage(alone)).scoring
    assert read_config(Storage(forked)).scoring.batch_size == 8
