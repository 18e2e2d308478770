import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.made_up_runs import made_up, made_up_group

from ray_al.compare.by_cost import compare_costs, cost_sentence, cost_text, full_scores
from ray_al.compare.costs import (
    CostModel,
    is_cut_off,
    minutes,
    note_costs,
    parse_costs,
    with_minutes,
)
from ray_al.compare.facts import Excluded
from ray_al.compare.labels import granularity, group_labels, regions_of
from ray_al.compare.output_costs import chart, duration, picked, write_costs
from ray_al.compare.run_result import Group
from ray_al.core.errors import ConfigError

ROW = {"labelled_images": 10, "labelled_regions": 100, "labelled_clicks": 450}


def test_minutes_by_hand():
    model = CostModel(image=6, region=2, class_name=1, click=0.5)
    # 10 images, 100 regions, a class each, 350 clicks on outlines
    assert minutes(ROW, "dense", model) == pytest.approx((60 + 200 + 100 + 175) / 60)
    assert minutes({**ROW, "labelled_clicks": 100}, "dominant", model) == pytest.approx(
        (60 + 200 + 100) / 60
    )
    # every click names a class
    assert minutes(ROW, "classes", model) == pytest.approx((60 + 200 + 450) / 60)
    assert minutes({**ROW, "labelled_clicks": None}, "dense", model) is None
    # images that were opened again in later cycles
    assert minutes({**ROW, "labelled_visits": 15}, "dense", model) == pytest.approx(
        (90 + 200 + 100 + 175) / 60
    )
    # regions without a pixel that counts cost no click
    assert minutes({**ROW, "labelled_clicks": 80}, "dense", model) == pytest.approx(
        (60 + 200 + 80) / 60
    )


def test_settings_of_the_cost_model():
    assert parse_costs(["click=1.2", "image=0"]) == CostModel(click=1.2, image=0)
    assert parse_costs(["class=3"]).class_name == 3
    assert "5 s an image" in CostModel().text
    for text in ("clicks=1", "click", "click=-1", "click=nan", "click=fast", "=1"):
        with pytest.raises(ConfigError, match="--seconds .*image, region, class, click"):
            parse_costs([text])


def test_a_first_point_costs_what_was_measured_of_people():
    assert CostModel().region + CostModel().class_name == pytest.approx(2.4)
    image = {"labelled_images": 1, "labelled_regions": 1, "labelled_clicks": 1600}
    assert 15 < minutes(image, "dense", CostModel()) < 25


def test_runs_of_earlier_versions_have_no_minutes():
    run = made_up([50, 100], [0.3, 0.4])
    without = run.__class__(
        **{**run.__dict__, "rows": tuple({**row, "labelled_clicks": None} for row in run.rows)}
    )
    assert not with_minutes(without, CostModel()).has("minutes")
    assert run.has("minutes")


def test_runs_of_earlier_versions_have_keys_of_all_kinds_of_regions():
    """The kind counts, in names and for what whole images cost."""
    old = {"regions.per_image": 10, "regions.method": "seeds", "regions.radius": 1}
    grid = {"regions.kind": "grid", "regions.rows": 5, "regions.columns": 4, **old}
    assert granularity(grid, grid) == granularity({"regions.rows": 5}, grid) == "5x4"
    image = {"regions.kind": "image", **old}
    assert regions_of(image).is_whole_image
    assert not regions_of(grid).is_whole_image


def test_labels_that_were_cut_off_are_named():
    short = made_up([50, 100], [0.3, 0.4], clicks=95, group="images")
    assert is_cut_off(short)
    assert not is_cut_off(made_up([50, 100], [0.3, 0.4], clicks=80))
    assert not is_cut_off(
        made_up([50, 100], [0.3, 0.4], clicks=95, values={"label.kind": "classes"})
    )
    group = Group(label="whole", setting={}, runs=(made_up([50, 100], [0.3, 0.4]), short))
    assert note_costs(CostModel(), [group]).cut_off == ("whole",)


FULL = 0.8


def curve(factor):
    return lambda budget: FULL * (0.5 + 0.1 * np.log(factor * budget / 25))


def pool():
    """Cells need a fourth of the regions of whole images' labels, chosen cells half of that."""
    budgets = [25, 50, 100, 200, 400, 800, 1600]
    images = made_up_group(
        "random images", curve(1), budgets, kind="image", clicks=20, full=FULL, spread=0.004
    )
    cells = made_up_group("random 5x5", curve(4), budgets, full=FULL, spread=0.004)
    chosen = made_up_group("bvsb 5x5", curve(8), budgets, score="bvsb", full=FULL, spread=0.004)
    return [images, cells, chosen]


def row_of(facts, label, share=0.9):
    return next(row for row in facts.rows if (row.label, row.share) == (label, share))


def test_budgets_of_a_share_of_the_full_score():
    facts = compare_costs(pool(), None)
    assert (facts.reference, facts.full) == ("random images", pytest.approx(FULL))
    needed = 25 * np.exp(4)
    images, cells, chosen = (
        row_of(facts, label) for label in ("random images", "random 5x5", "bvsb 5x5")
    )
    assert images.budgets["pixel_share"].value == pytest.approx(needed * 400 / 1e6, rel=0.1)
    assert cells.budgets["clicks"].value == pytest.approx(5 * needed / 4, rel=0.1)
    assert images.saved == {}
    assert chosen.saved["pixel_share"].value == pytest.approx(7 / 8, abs=0.02)
    assert chosen.saved["clicks"].value == pytest.approx(1 - 1 / 8 / 4, abs=0.02)
    low, high = (getattr(chosen.saved["minutes"], end) for end in ("low", "high"))
    assert 0.8 < low < chosen.saved["minutes"].value < high < 1
    assert row_of(facts, "random images", 0.95).budgets["pixel_share"].at_least == pytest.approx(
        0.64
    )


def test_a_share_that_is_not_reached_is_said():
    budgets = [25, 50, 100]
    facts = compare_costs(
        [
            made_up_group("random", curve(1), budgets, full=FULL),
            made_up_group("a", curve(4), budgets, full=FULL, score="a"),
        ],
        None,
    )
    row = row_of(facts, "a", 0.95)
    assert row.budgets["pixel_share"].value is None
    assert row.budgets["pixel_share"].at_least == pytest.approx(0.04)
    assert facts.reference is None
    assert "at least 4.00" in cost_text(facts, "")


def test_full_scores_are_those_of_the_seed_of_the_group_or_of_all():
    runs = [
        made_up([50, 100], [0.3, 0.4], seed=seed, full=full, uri=f"a{seed}")
        for seed, full in enumerate((0.6, 0.7, None))
    ]
    bare = made_up([50, 100], [0.3, 0.4], score="b", uri="b0")
    groups = [
        Group(label="a", setting={}, runs=tuple(runs)),
        Group(label="b", setting={}, runs=(bare,)),
    ]
    assert full_scores(groups) == pytest.approx({"a0": 0.6, "a1": 0.7, "a2": 0.65, "b0": 0.65})
    with pytest.raises(ConfigError, match="ray-al upper-bound"):
        full_scores(groups[1:])


def test_the_files_and_the_sentence_of_a_comparison_by_costs(tmp_path):
    facts = replace(
        compare_costs(pool(), None),
        costs=note_costs(CostModel(), []),
        apart=(Excluded(run="r<1>", reason="not finished"),),
    )
    files = write_costs(facts, str(tmp_path))
    assert set(files) == {"costs.csv", "costs.json", "costs.html", "costs.svg", "costs.png"}
    rows = list(csv.DictReader((tmp_path / "costs.csv").open()))
    assert len(rows) == 9 and float(rows[0]["minutes"]) > 0 and rows[0]["minutes_saved"] == ""
    assert json.loads((tmp_path / "costs.json").read_text())["full"] == pytest.approx(FULL)
    sentence = cost_sentence(facts)
    assert (
        sentence.startswith("90 % of the mIoU of all labels takes ")
        and "bvsb 5x5" in sentence
        and "less than with random images" in sentence
    )
    page = (tmp_path / "costs.html").read_text()
    assert "5 s an image" in page and "r&lt;1&gt;" in page and page.count("<svg") == 1
    assert (tmp_path / "costs.svg").read_text().startswith("<svg")


def test_of_many_curves_the_picture_shows_random_and_the_cheapest_of_each_granularity():
    groups = pool()
    budgets = [25, 50, 100, 200, 400, 800, 1600]
    groups += [
        made_up_group(f"{number} 5x5", curve(2), budgets, score=str(number), full=FULL)
        for number in range(7)
    ]
    assert [curve.label for curve in picked(compare_costs(groups, None))] == [
        "random images",
        "random 5x5",
        "bvsb 5x5",
    ]
    assert [duration(value) for value in (30, 60, 90, 6000)] == ["30 min", "1 h", "1.5 h", "100 h"]


def test_long_names_stay_within_the_picture():
    budgets = [25, 50, 100, 200]
    groups = [
        made_up_group(
            f"{number} of {40 * 'a'} 5x5", curve(2), budgets, score=str(number), full=FULL
        )
        for number in range(3)
    ]
    figure = chart(compare_costs([*pool(), *groups], None))
    legend = figure.legends[0]
    assert 0 < legend.get_window_extent().width <= figure.bbox.width
    assert len(figure.legends) == 1


def test_names_of_groups_over_other_regions():
    random, bvsb = (
        {"strategy.acquisition": "random", "strategy.batch.kind": "topk"},
        {"strategy.acquisition": "bvsb", "strategy.batch.kind": "topk"},
    )
    kinds = [
        {"regions.kind": "grid", "regions.rows": 5, "regions.columns": 5, "budget.amount": 0.05},
        {"regions.kind": "image", "budget.amount": 0.25},
        {"regions.kind": "superpixels", "regions.method": "slic", "regions.count": 200},
        {"regions.kind": "pixels", "regions.per_image": 10},
    ]
    settings = [{**strategy, **kind} for kind in kinds for strategy in (random, bvsb)]
    assert group_labels(settings, settings)[::2] == [
        "random 5x5",
        "random images",
        "random superpixels-slic-200",
        "random pixels",
    ]
    assert group_labels(settings, settings)[1] == "bvsb-topk 5x5"
    amounts = [{**random, "budget.amount": amount} for amount in (0.05, 0.25)]
    assert group_labels(amounts, amounts) == ["random-topk-amount0.05", "random-topk-amount0.25"]
    assert group_labels(
        [{**random, "budget.amount": 0.25}, {**bvsb, "budget.amount": 0.05}], amounts
    ) == ["random", "bvsb-topk"]


def test_groups_of_sweeps_have_the_names_that_sweeps_give_them():
    random = {"strategy.acquisition": "random", "strategy.batch.kind": "topk"}
    chosen = {"strategy.acquisition": "bvsb", "strategy.batch.kind": "stratified"}
    grid = {"regions.kind": "grid", "regions.rows": 5, "regions.columns": 5}
    settings = [{**random, **grid}, {**chosen, **grid}, {**random, "regions.kind": "image"}]
    named = ["random-topk", "mine", "random-topk"]
    assert group_labels(settings, settings, named) == ["random 5x5", "mine 5x5", "random images"]
    of_few = ["random-topk", "mine", ""]
    assert group_labels(settings, settings, of_few)[1] == "bvsb-stratified 5x5"
    two = [{**chosen, "strategy.batch.kind": kind} for kind in ("power", "stratified")]
    assert group_labels(two, two, ["same", "same"]) == ["bvsb-power", "bvsb-stratified"]
    # Draws that differ in how they begin are no one strategy that draws at random.
    starts = [{"budget.start_rule": rule} for rule in ("random", "centroids")]
    values = [{**random, **start} for start in starts]
    assert group_labels(starts, values, ["random", "centroids"]) == ["random", "centroids"]
