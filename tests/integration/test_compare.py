"""Comparison and replay of real tiny runs, made without Ray."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import invoke
from helpers.compared import VALUES
from helpers.records import features_extracted

from ray_al.compare.runs import read_run
from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.families.acquisition import ACQUISITION_SETTINGS
from ray_al.core.storage import Storage
from ray_al.core.strategy import StrategyConfig
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop
from ray_al.ledger import Journal, State
from ray_al.ledger.config import read_config
from ray_al.replay.settings import CHOICE, check_features
from ray_al.select.kcenter import KCenterRule


def make(folder, name, *, seed=0, score="entropy", **sections):
    values = {**VALUES, "seed": seed, "strategy": {"acquisition": score}, **sections}
    values["data"] = {"root": str(folder / "data"), **VALUES["data"]}
    run_loop(create_run(parse_config(values, source="test"), str(folder / name)))
    return str(folder / name)


def last_row(run):
    with Path(run, "curve.csv").open() as file:
        return list(csv.DictReader(file))[-1]


def last_miou(run):
    return float(last_row(run)["miou"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    places = {
        f"{score}-{seed}": make(folder, f"{score}-{seed}", seed=seed, score=score)
        for score in ("random", "entropy")
        for seed in (0, 1, 2)
    }
    places["longer"] = make(folder, "longer", seed=0, train={**VALUES["train"], "steps": 3})
    places["coarse"] = make(
        folder, "coarse", seed=0, budget={"start": 4, "per_cycle": 8, "amount": 12}
    )
    return places


def test_groups_seeds_and_files(runs, tmp_path):
    places = [place for name, place in runs.items() if name != "coarse"]
    result = invoke("compare", *places, "--out", tmp_path / "out", "--json", "--at", "0.25")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.output)
    assert [(group["label"], group["seeds"]) for group in facts["groups"]] == [
        ("random", [0, 1, 2]),
        ("entropy", [0, 1, 2]),
    ]
    assert [row["run"] for row in facts["apart"]] == [runs["longer"]]
    assert "train.steps is 3, the others' 2" in facts["apart"][0]["reason"]
    rows = list(csv.DictReader((tmp_path / "out" / "summary.csv").open()))
    by_hand = [last_miou(runs[f"entropy-{seed}"]) for seed in range(3)]
    assert float(rows[1]["final_miou"]) == pytest.approx(sum(by_hand) / 3, rel=1e-4)
    clicks = [float(last_row(runs[f"entropy-{seed}"])["labelled_clicks"]) for seed in range(3)]
    assert float(rows[1]["labelled_clicks"]) == pytest.approx(sum(clicks) / 3, rel=1e-4)
    assert sum(
        float(value) for name, value in rows[1].items() if name.startswith("labelled_share_")
    ) == pytest.approx(1, abs=1e-4)
    # 4, 8 and 12 of 24 regions: a quarter lies halfway between the first two
    curve = [
        row
        for row in csv.DictReader((tmp_path / "out" / "curves.csv").open())
        if (row["strategy"], row["axis"]) == ("entropy", "share")
    ]
    assert float(rows[1]["miou_at_0.25"]) == pytest.approx(
        (float(curve[0]["miou"]) + float(curve[1]["miou"])) / 2, rel=1e-4
    )
    assert len(facts["tests"]["pairs"]) == 1
    assert "3 seeds are few" in facts["too_few"]
    page = (tmp_path / "out" / "compare.html").read_text()
    pictures = [
        {path.stem for path in (tmp_path / "out").glob(f"*.{suffix}")} for suffix in ("svg", "png")
    ]
    assert pictures[0] == pictures[1] >= {"curve_share", "curve_share_log", "curve_clicks"}
    assert page.count("<svg") == len(pictures[0])
    assert "http://" not in page.replace("http://www.w3.org", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "")
    assert r"\begin{tabular}" in (tmp_path / "out" / "table.tex").read_text()


def test_runs_over_other_regions_are_compared_by_their_pixels(runs, tmp_path):
    shares = {"start": 0.125, "per_cycle": 0.125, "amount": 0.5}
    places = [
        make(tmp_path, f"{n}", score="random", regions={"rows": n, "columns": n}, budget=shares)
        for n in (2, 4)
    ]
    result = invoke("compare", *places, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.output)
    assert (facts["axis"], facts["apart"], facts["keys"]) == (
        "pixel_share",
        [],
        ["regions.columns", "regions.rows"],
    )
    assert facts["grid"] == pytest.approx([0.125, 0.25, 0.375, 0.5])
    assert (
        "labelled share of the pool&#39;s pixels" in (tmp_path / "out" / "compare.html").read_text()
    )
    assert {"pixel_share", "pixels", "clicks", "images", "minutes"} == set(
        facts["groups"][0]["curves"]
    )


def test_a_pool_of_earlier_versions_is_known_by_its_manifest(runs, monkeypatch):
    new = read_run(runs["entropy-0"])
    before = Journal._read

    def without_digest(journal):
        first, *rest = before(journal)
        data = {key: value for key, value in first.data.items() if key != "images"}
        return [dataclasses.replace(first, data={**data, "pool": "of images and regions"}), *rest]

    monkeypatch.setattr(Journal, "_read", without_digest)
    assert read_run(runs["entropy-0"]).pool == new.pool


def test_other_query_sizes_are_compared_on_common_budgets(runs, tmp_path):
    result = invoke(
        "compare", runs["entropy-0"], runs["coarse"], runs["random-0"], "--out", tmp_path, "--json"
    )
    facts = json.loads(result.output)
    assert facts["keys"] == ["budget.per_cycle", "strategy.acquisition"]
    assert facts["grid"] == pytest.approx([4 / 24, 8 / 24, 12 / 24])
    assert "no test over seeds is possible" in facts["too_few"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["{none}"], "neither a run directory"),
        (["{entropy-0}", "{entropy-0}/../entropy-0x"], "neither a run directory"),
        (["{entropy-0}", "--reference", "margin"], "--reference"),
        (["{entropy-0}", "--at", "90 %"], "--at"),
        (["{entropy-0}", "--at", "many"], "--at"),
    ],
)
def test_wrong_use_of_compare(runs, tmp_path, arguments, word):
    filled = [argument.format(**runs, none=tmp_path) for argument in arguments]
    result = invoke("compare", *filled, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert word in result.output
    assert not (tmp_path / "out").exists()


def test_replay_of_the_same_strategy_chooses_the_same(runs):
    facts = json.loads(invoke("replay", runs["entropy-0"], "--json").output)
    assert [row["cycle"] for row in facts["cycles"]] == [0, 1]
    assert all(row["overlap"] == row["known"] == 1 for row in facts["cycles"])
    assert facts["cycles"][0]["class_shares"] == facts["cycles"][0]["class_shares_before"]
    assert facts["functions"]["stored"] == ["random", "entropy"]


def test_replay_of_random_is_what_the_random_run_chose_in_its_first_cycle(runs):
    """Same seed, same start set: the first query of the random run itself."""
    facts = json.loads(
        invoke("replay", runs["entropy-0"], "--set", "strategy.acquisition=random", "--json").output
    )
    backwards = json.loads(invoke("replay", runs["random-0"], "--json").output)
    assert facts["cycles"][0]["pixels"] == backwards["cycles"][0]["pixels"]
    assert facts["cycles"][0]["images"] == backwards["cycles"][0]["images"]


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("train.steps=3", "strategy"),
        ("strategy.acquisition=margin", "did not store"),
        ("strategy.bath=1", "did you mean"),
    ],
)
def test_wrong_use_of_replay(runs, setting, word):
    result = invoke("replay", runs["entropy-0"], "--set", setting)
    assert result.exit_code == 2
    assert word in result.output


SCORED_OTHERWISE: dict[str, Any] = {
    "temperature": "20",
    "aggregation": "max",
    "top_share": "0.5",
    "transforms": "[flip]",
    "passes": "{kind: dropout, count: 3}",
    "feature_layer": "nope",
    "lazy": "{share: 0.1}",
    "offer": "{kind: top_share}",
}


def test_each_setting_of_a_strategy_is_one_that_replay_takes_or_refuses():
    assert set(StrategyConfig.model_fields) == {*CHOICE, *SCORED_OTHERWISE, *ACQUISITION_SETTINGS}


@pytest.mark.parametrize("key", ACQUISITION_SETTINGS)
def test_replay_refuses_settings_of_other_scores(runs, key):
    result = invoke("replay", runs["entropy-0"], "--set", f"strategy.{key}=9")
    assert result.exit_code == 2
    assert f"strategy.{key} (value 9" in result.output
    assert f"setting of acquisition function '{ACQUISITION_SETTINGS[key][0]}'" in result.output


@pytest.mark.parametrize("key", SCORED_OTHERWISE)
def test_replay_refuses_what_changes_scores(runs, key):
    result = invoke("replay", runs["entropy-0"], "--set", f"strategy.{key}={SCORED_OTHERWISE[key]}")
    assert result.exit_code == 2
    assert (
        f"strategy.{key}=" in result.output and "the stored scores were made with" in result.output
    )


@pytest.mark.parametrize("rule", ["class_split", "kcenter", "stratified", "centroids"])
def test_replay_refuses_rules_that_need_what_was_not_stored(runs, rule):
    result = invoke("replay", runs["entropy-0"], "--set", f"strategy.batch.kind={rule}")
    assert result.exit_code == 2
    assert f"strategy.batch.kind='{rule}'" in result.output


@pytest.mark.parametrize(
    "setting",
    [
        "batch.kind=power",
        "batch={kind: softrank, candidates: 3}",
        "per_image=1",
        "min_distance=1000",
        "skip_void_by_ground_truth=true",
    ],
)
def test_replay_takes_what_chooses_from_scores(runs, setting):
    assert invoke("replay", runs["entropy-0"], "--set", f"strategy.{setting}").exit_code == 0


def test_replay_of_rules_on_features_stays_among_the_candidates(tmp_path):
    settings = {
        "model": {"name": "helpers.diverging:sound"},
        "strategy": {
            "acquisition": "entropy",
            "batch": {"kind": "kmeans", "candidates": 10},
            "feature_layer": "body",
        },
    }
    run = make(tmp_path, "kmeans", **settings)
    assert invoke("replay", run, "--set", "strategy.batch.kind=kcenter").exit_code == 0
    more = invoke("replay", run, "--set", "strategy.batch.candidates=11")
    assert (more.exit_code, "at most 10" in more.output) == (2, True)


def test_replay_of_the_newer_rules_takes_what_was_stored_for_them(tmp_path):
    """Costs depend on the classes that cover regions, and on so many candidates' features."""
    sound = {"model": {"name": "helpers.diverging:sound"}}
    strategies = {
        "stratified": {"acquisition": "entropy", "batch": {"kind": "stratified"}},
        "centroids": {
            "acquisition": "entropy",
            "batch": {"kind": "centroids", "factor": 2},
            "feature_layer": "body",
        },
    }
    runs = {
        name: make(tmp_path, name, **sound, strategy=strategy)
        for name, strategy in strategies.items()
    }
    for name, same in (("stratified", "min_cover=0.25"), ("centroids", "factor=2")):
        result = invoke("replay", runs[name], "--set", f"strategy.batch.{same}", "--json")
        assert [cycle["overlap"] for cycle in json.loads(result.output)["cycles"]] == [1.0] * 2
    for name, other in (
        ("stratified", "min_cover=0.9"),
        ("stratified", "kind=topk"),
        ("centroids", "factor=1"),
        ("centroids", "kind=topk"),
    ):
        assert invoke("replay", runs[name], "--set", f"strategy.batch.{other}").exit_code == 0
    for other in ("factor=3", "factor=null", "kind=kcenter"):
        result = invoke("replay", runs["centroids"], "--set", f"strategy.batch.{other}")
        assert (result.exit_code, "features of 2 times as many" in result.output) == (2, True)


def test_replay_takes_no_features_of_the_start_set_for_those_of_a_cycle(runs):
    """The start rule kcenter extracts features once, before any model; top-k cycles have none."""
    state = State(extracted={-1: features_extracted(-1)}, scores={0: {}})
    config = read_config(Storage(runs["entropy-0"]))
    other = config.model_copy(
        update={"strategy": StrategyConfig(acquisition="entropy", batch=KCenterRule())}
    )
    with pytest.raises(ConfigError, match="did not store"):
        check_features(config, other, state, {0})


def test_comparison_opens_no_image(runs, tmp_path):
    """The data may be gone: ledgers and curves are enough."""
    folder = tmp_path / "moved"
    run = make(tmp_path, "moved", score="random")
    (tmp_path / "data").rename(tmp_path / "gone")
    assert Journal(Storage(run)).events
    assert invoke("compare", folder, "--out", tmp_path / "out").exit_code == 0
