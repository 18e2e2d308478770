"""Runs whose measured and final models are trained by another recipe from some time on."""

import logging
from pathlib import Path

import pytest
from helpers.measured import configure
from helpers.run_reading import state_of

import ray_al
from ray_al.compare.runs import read_run
from ray_al.core.storage import Storage
from ray_al.driver.create import create_run
from ray_al.driver.final import train_final
from ray_al.driver.loop import run_loop
from ray_al.driver.settings import change_settings
from ray_al.ledger import Journal, fold
from ray_al.ledger.records import ModelMeasured
from ray_al.predict.choose import choose_model
from ray_al.report.build import write_report


def finish(run, kind):
    return train_final(run, kind, progress=lambda done, total: None, should_stop=lambda: False)


def test_scores_of_two_recipes_are_never_taken_for_one(data, tmp_path, caplog):
    run = create_run(configure(data), str(tmp_path / "run"))
    run_loop(run)
    full, share = finish(run, "upper_bound").miou, finish(run, "final").share_of_full_score
    result, size = read_run(run), choose_model(run).size
    assert [row["cycle"] for row in result.measured] == [0, 2]
    assert result.full == full and (share is None) == (full == 0)
    assert caplog.text == ""

    ray_al.extend(run, budget="16", overrides=["final.budgets=[4, 12, 16]"])
    assert [row["cycle"] for row in read_run(run).measured] == [0, 2]  # budgets are no recipe
    change_settings(run, ["final.train.steps=2", "final.image_size=[16, 24]"])
    assert run_loop(run).kind == "finished"
    with caplog.at_level(logging.WARNING):
        result = read_run(run)
    assert [row["cycle"] for row in result.measured] == [3] and result.full is None
    assert "measured in cycle 0, 2 are left out, as final.* has changed since" in caplog.text
    assert "ray-al upper-bound" in caplog.text
    with caplog.at_level(logging.WARNING):
        assert choose_model(run).size == size == (24, 32)
    assert "trained on 12 of 16 labelled regions; run `ray-al final` again, or" in caplog.text
    page = Path(write_report(run, [1] * 6)).read_text()
    assert "trained on\n12 of 16 labelled regions" in page
    caplog.clear()
    assert finish(run, "final").share_of_full_score is None
    assert "no share of the full score, as final.* changed" in caplog.text
    assert choose_model(run).size == (16, 24) and "labelled regions" not in caplog.text


@pytest.mark.parametrize("command", ["resume", "extend"])
def test_an_unfinished_measurement_starts_again_with_another_recipe(
    data, tmp_path, monkeypatch, command
):
    run = create_run(configure(data), str(tmp_path / "run"))
    append = Journal.append

    def dies(journal, record):
        event = append(journal, record)
        if isinstance(record, ModelMeasured):
            raise KeyboardInterrupt
        return event

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", dies)
        with pytest.raises(KeyboardInterrupt):
            run_loop(run)
    assert [*state_of(run).repeats[0]] == [0]
    change = {"resume": change_settings, "extend": lambda run, to: ray_al.extend(run, overrides=to)}
    change[command](run, ["final.repeats=2"])
    assert [*state_of(run).repeats.get(0, {})] == [0]
    change[command](run, ["final.train.steps=2"])
    assert fold(Journal(Storage(run)).events).repeats == {}
