import json
from dataclasses import replace

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from helpers.made_up_runs import made_up
from scipy.stats import t, ttest_rel

from ray_al.cli import main
from ray_al.compare.by_budget import compare
from ray_al.compare.endpoints import endpoint_result, endpoint_text, find_endpoints
from ray_al.compare.grouping import choose_measure, group_runs
from ray_al.compare.places import sentences
from ray_al.compare.runs import Reading
from ray_al.compare.stats import holm, t_interval
from ray_al.core.errors import ConfigError
from ray_al.core.storage import Storage
from ray_al.driver.fork import start_config
from ray_al.sweep.config import EndpointConfig, SweepConfig, load_sweep
from ray_al.sweep.create import create_sweep
from ray_al.sweep.directory import read_sweep
from ray_al.sweep.endpoint import check_endpoint, resolve
from ray_al.sweep.naming import Setting
from ray_al.sweep.plan import plan_trials
from ray_al.sweep.trials import start_digest

pytestmark = pytest.mark.usefixtures("own_cache")

BASE = {
    "data": {"num_images": 6, "image_size": [32, 32]},
    "model": {"name": "helpers.made_up_runs:tiny"},
    "train": {"steps": 2},
    "budget": {"start": "4 %", "per_cycle": "4 %", "amount": "12 %"},
    "final": {"budgets": ["8 %", "12 %"], "repeats": 1, "train": {"steps": 3}},
}
ENDPOINT = {"budgets": ["8 %", "12 %"], "comparisons": [["entropy", "random"]]}


def write(folder, endpoint, **values):
    path = folder / "sweep.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "run": BASE,
                "space": {"strategy.acquisition": ["entropy"]},
                "endpoint": endpoint,
                **values,
            }
        )
    )
    return str(path)


def test_the_endpoint_is_kept_with_the_sweep(tmp_path):
    out = create_sweep(load_sweep(write(tmp_path, ENDPOINT)), str(tmp_path / "out"))
    kept = read_sweep(Storage(out)).endpoint
    assert kept == EndpointConfig(budgets=(0.08, 0.12), comparisons=(("entropy", "random"),))
    assert kept.measure == "final_miou"


def test_what_is_compared_is_run_first(tmp_path):
    values = {"space": {"strategy.acquisition": ["margin", "entropy"]}, "seeds": [10, 11]}
    trials = plan_trials(load_sweep(write(tmp_path, ENDPOINT, **values)))
    assert [(trial.group, trial.seed) for trial in trials] == [
        ("random-topk", 10),
        ("entropy", 10),
        ("random-topk", 11),
        ("entropy", 11),
        ("margin", 10),
        ("margin", 11),
    ]
    assert [trial.index for trial in trials] == [0, 2, 0, 2, 1, 1]
    unnamed = plan_trials(load_sweep(write(tmp_path, None, **values)))
    assert [(trial.group, trial.seed) for trial in unnamed][:3] == [
        ("random-topk", 10),
        ("margin", 10),
        ("entropy", 10),
    ]


def test_dry_run_shows_the_endpoint(tmp_path):
    path = write(tmp_path, ENDPOINT, seeds=[10, 11])
    result = CliRunner().invoke(main, ["sweep", path, "--dry-run"])
    assert result.exit_code == 0, result.output
    assert "settings: random-topk, entropy" in result.output
    assert "endpoint: mean final_miou at 8 %, 12 %; seeds 10, 11" in result.output
    assert (
        "compared: entropy - random\np-values are corrected by Holm over these 1 comparisons"
        in result.output
    )
    facts = json.loads(CliRunner().invoke(main, ["sweep", path, "--dry-run", "--json"]).stdout)
    assert facts["endpoint"]["comparisons"] == [["entropy", "random"]]


def test_a_sweep_without_an_endpoint_says_so(tmp_path):
    result = CliRunner().invoke(main, ["sweep", write(tmp_path, None), "--dry-run"])
    assert "endpoint: none is named" in result.output
    assert (
        find_endpoints(
            Reading(
                runs=(),
                without_miou=(),
                varied=frozenset(),
                sweeps={"s": (load_sweep(write(tmp_path, None)), {})},
            )
        )
        == {}
    )


WRONG = {
    "no such setting": (
        {**ENDPOINT, "comparisons": [["entropi", "random"]]},
        "'entropi': no setting has that name; there are random-topk, entropy",
    ),
    "a budget without models": (
        {**ENDPOINT, "budgets": ["4 %", "8 %"]},
        "4 % is none of final.budgets of entropy, which are 8 %, 12 %",
    ),
    "a count for a share": ({**ENDPOINT, "budgets": [12]}, "12 is none of final.budgets"),
    "no comparison": ({"budgets": ["8 %"]}, "endpoint.comparisons"),
    "no budget": ({**ENDPOINT, "budgets": []}, "endpoint.budgets"),
    "a budget twice": ({**ENDPOINT, "budgets": ["8 %", 0.08]}, "holds a budget twice"),
    "a pair twice": (
        {**ENDPOINT, "comparisons": [["entropy", "random"], ["random", "entropy"]]},
        "is listed twice",
    ),
    "the same one": (
        {**ENDPOINT, "comparisons": [["random", "random"]]},
        "compares a setting with itself",
    ),
    "another measure": ({**ENDPOINT, "measure": "accuracy"}, "endpoint.measure"),
    "an unknown key": ({**ENDPOINT, "budget": ["8 %"]}, "did you mean 'budgets'"),
    "three in a pair": (
        {**ENDPOINT, "comparisons": [["entropy", "random", "x"]]},
        "endpoint.comparisons",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_endpoint_is_one_message_and_no_directory(kind, tmp_path):
    endpoint, word = WRONG[kind]
    path = write(tmp_path, endpoint)
    for arguments in (["--dry-run"], ["--out", str(tmp_path / "out")]):
        result = CliRunner().invoke(main, ["sweep", path, *arguments])
        assert result.exit_code == 2, result.output
        assert word in result.output
        assert "\n" not in result.output.strip()
    assert not (tmp_path / "out").exists()


def test_a_reference_that_goes_further_keeps_its_name_and_its_start(tmp_path):
    reference = {
        "strategy.acquisition": "random",
        "strategy.batch.kind": "topk",
        "budget.amount": "24 %",
        "final.budgets": ["8 %", "12 %", "24 %"],
    }
    sweep = load_sweep(write(tmp_path, ENDPOINT, reference=reference))
    trials = plan_trials(sweep)
    check_endpoint(sweep, trials)
    assert [trial.group for trial in trials] == ["random-topk", "entropy"]
    assert [trial.config.final.budgets for trial in trials] == [(0.08, 0.12, 0.24), (0.08, 0.12)]
    assert len({start_digest(start_config(trial.config)) for trial in trials}) == 1


def test_models_that_choose_need_no_measured_budget(tmp_path):
    sweep = load_sweep(write(tmp_path, {**ENDPOINT, "budgets": ["4 %"], "measure": "miou"}))
    check_endpoint(sweep, plan_trials(sweep))


def test_a_name_of_several_settings_is_refused():
    settings = {
        "random-a": {"strategy.acquisition": "random", "strategy.batch.beta": 1},
        "random-b": {"strategy.acquisition": "random", "strategy.batch.beta": 2},
    }
    assert resolve("random-b", settings, source="s") == "random-b"
    with pytest.raises(ConfigError, match="several settings have that name"):
        resolve("random", settings, source="s")


def drawn(num_seeds, shift, number):
    rng = np.random.default_rng(number)
    return {
        seed: float(value)
        for seed, value in enumerate(0.5 + shift + rng.normal(0, 0.02, num_seeds))
    }


def test_the_statistics_are_those_of_scipy():
    scores = {
        "random": drawn(10, 0, 0),
        "a": drawn(10, 0.02, 1),
        "b": drawn(10, 0.03, 2),
        "c": drawn(10, 0, 3),
    }
    config = EndpointConfig(
        budgets=(0.02,), comparisons=(("a", "random"), ("b", "random"), ("a", "b"))
    )
    rows = endpoint_result("s", config, scores, {name: {} for name in scores}).comparisons
    values = {name: np.array(list(by_seed.values())) for name, by_seed in scores.items()}
    for row in rows:
        one, other = values[row.one], values[row.other]
        test = ttest_rel(one, other)
        assert row.difference == pytest.approx((one - other).mean())
        assert row.spread == pytest.approx((one - other).std(ddof=1))
        assert row.p == pytest.approx(test.pvalue)
        assert (row.low, row.high) == pytest.approx(tuple(test.confidence_interval()))
    # c is not named: it has no part in the correction
    assert [row.p_holm for row in rows] == pytest.approx(
        holm([row.p for row in rows if row.p is not None])
    )


def test_a_comparison_that_cannot_be_tested_yet_counts_in_the_correction():
    scores = {"random": drawn(5, 0, 0), "a": drawn(5, 0.02, 1), "b": {}, "c": {0: 0.5}}
    config = EndpointConfig(
        budgets=(0.02,), comparisons=(("a", "random"), ("b", "random"), ("c", "random"))
    )
    first, second, third = endpoint_result(
        "s", config, scores, {name: {} for name in scores}
    ).comparisons
    assert first.p_holm == pytest.approx(min(1, 3 * first.p))
    assert (second.difference, second.p_holm, second.seeds) == (None, None, ())
    assert (third.p, third.seeds) == (None, (0,)) and third.difference is not None


def test_seeds_are_paired_by_their_number():
    scores = {"random": {10: 0.5, 12: 0.6, 11: 0.7}, "a": {11: 0.71, 12: 0.62, 13: 0.9}}
    (row,) = endpoint_result(
        "s",
        EndpointConfig(budgets=(5,), comparisons=(("a", "random"),)),
        scores,
        {"random": {}, "a": {}},
    ).comparisons
    assert row.seeds == (11, 12)
    assert row.difference == pytest.approx(0.015)


def test_the_interval_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(5)
    ends = [t_interval(rng.normal(0.01, 0.02, 6)) for _ in range(1000)]
    assert 0.93 < np.mean([low < 0.01 < high for low, high in ends]) < 0.97
    assert t_interval([0.0, 2.0]) == pytest.approx((1 - t.ppf(0.975, 1), 1 + t.ppf(0.975, 1)))


def reading(endpoint, runs):
    sweep = SweepConfig(name="told", endpoint=endpoint)
    return Reading(
        runs=tuple(runs),
        without_miou=(),
        varied=frozenset(),
        sweeps={"/sweep": (sweep, {"random": {}, "entropy": {}})},
    )


def test_a_run_s_endpoint_is_the_mean_over_the_named_budgets_of_its_measured_models():
    config = EndpointConfig(budgets=(0.04, 0.08), comparisons=(("entropy", "random"),))
    runs = [
        made_up([50, 100, 150, 200], [0.3, 0.4, 0.9, 0.5 + seed / 100], seed=seed, sweep="/sweep")
        for seed in (10, 11)
    ]
    runs += [
        made_up(
            [50, 100, 150, 200], [0.3, 0.5, 0.9, 0.6], seed=seed, score="entropy", sweep="/sweep"
        )
        for seed in (10, 11)
    ]
    (facts,) = find_endpoints(reading(config, runs)).values()
    assert facts.scores == {
        "random": pytest.approx({"10": 0.5, "11": 0.505}),
        "entropy": pytest.approx({"10": 0.55, "11": 0.55}),
    }
    text = endpoint_text(facts)
    assert text.startswith("endpoint of told: mean final_miou at 4 %, 8 %\n")
    assert "entropy - random     2  +0.0475" in text


def test_runs_that_are_not_finished_or_not_measured_there_have_no_endpoint():
    config = EndpointConfig(budgets=(200,), comparisons=(("entropy", "random"),))
    runs = [
        made_up([50, 100], [0.3, 0.4], sweep="/sweep"),
        made_up([50, 200], [0.3, 0.4], seed=1, sweep="/sweep", finished=False),
        made_up([50, 200], [0.3, 0.4], seed=2, sweep="/another"),
    ]
    (facts,) = find_endpoints(reading(config, runs)).values()
    assert facts.scores == {"random": {}, "entropy": {}}
    assert "no seed has both" in endpoint_text(facts)


def test_budgets_that_one_query_passed_together_have_the_same_models():
    run = made_up([50, 300], [0.3, 0.4])
    assert run.score_at(60, "final_miou") == run.score_at(300, "final_miou") == 0.4
    assert run.score_at(0.12, "final_miou") == 0.4
    assert run.score_at(50, "miou") == pytest.approx(0.2)
    nearly = made_up([48, 99], [0.4, 0.6])  # no region was small enough for the last units
    scores = [nearly.score_at(units, "miou") for units in (52, 53, 104)]
    assert scores == pytest.approx([0.3, 0.5, 0.5]) and nearly.score_at(105, "miou") is None
    assert run.score_at(301, "final_miou") is None
    assert made_up([50], [0.3], unit_total=None).score_at(0.02, "miou") is None


def test_sentences_of_several_sweeps_are_each_of_its_own_groups():
    budgets = [50, 100, 200, 400]
    runs = []
    for seed, (place, score) in enumerate((("/one", "bvsb"), ("/two", "entropy"))):
        random = made_up(budgets, [0.3, 0.4, 0.5, 0.6], seed=seed)
        chosen = made_up(budgets, [0.3, 0.5, 0.6, 0.7], seed=seed, score=score)
        runs += [
            replace(random, sweep=place, group="base"),
            replace(chosen, sweep=place, group="chosen"),
        ]
    config = EndpointConfig(budgets=(100, 200), comparisons=(("chosen", "base"),))
    groups: dict[str, Setting] = {"base": {}, "chosen": {}}
    sweeps = {
        place: (SweepConfig(name=place.strip("/"), endpoint=config), groups)
        for place in ("/one", "/two")
    }
    endpoints = find_endpoints(
        Reading(runs=tuple(runs), without_miou=(), varied=frozenset(), sweeps=sweeps)
    )
    grouped = group_runs(choose_measure(runs, None)[1], varied=set())
    found = sentences(compare(grouped, measure="final_miou"), endpoints, grouped.groups)
    assert [" bvsb saves " in text for text in found] == [True, False]
    assert [" entropy saves " in text for text in found] == [False, True]
    assert [text.split(":")[0] for text in found] == ["one", "two"]
