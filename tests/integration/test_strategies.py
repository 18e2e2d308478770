"""Whole runs in this process, with every family of strategies, region kinds and label kinds."""

import json
import logging
import re
from typing import Any

import numpy as np
import pytest
from helpers.run_reading import queries, state_of
from helpers.strategies import CASES, SETTINGS, SNAPSHOTS, SUPERPIXELS, batch, configure

from ray_al.acquisition import ACQUISITIONS
from ray_al.core.errors import ConfigError, RayALError
from ray_al.core.families.batch import BATCH_RULES
from ray_al.core.storage import Storage
from ray_al.datasets.synthetic import write_synthetic
from ray_al.driver.create import create_run
from ray_al.driver.final import train_final
from ray_al.driver.fork import fork_run, start_config
from ray_al.driver.loop import run_loop
from ray_al.driver.pool import read_table
from ray_al.driver.verify import verify
from ray_al.ledger import Journal
from ray_al.replay.run import replay
from ray_al.report.build import write_report
from ray_al.scoring import region_scores
from ray_al.scoring.scorer import FeatureScorer

NAMES = [
    pytest.param(name, marks=pytest.mark.slow)
    if name in ("stratified_offer", "two_stage_grid", "feature_dropout")
    else name
    for name in CASES
]
ON_RAY = (
    pytest.param("frozen", marks=pytest.mark.slow),
    pytest.param("frozen_badge", marks=pytest.mark.slow),
    "dropout",
    "ensemble",
    "disagreement",
    "pixbal",
    "softrank",
    "badge",
    "class_split",
    "superpixels_badge",
    "dominant",
    "windows_kcenter",
)
"""One of each family."""
KILLED = (
    "softmax",
    "ensemble",
    "badge",
    "class_balanced",
    "lazy",
    "label_time",
    "start_class_aware",
    "dominant",
    "windows_kcenter",
    "two_stage",
    pytest.param("stratified", marks=pytest.mark.slow),
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("strategies")
    write_synthetic(str(root / "data"), num_images=8, seed=0)
    return root


def run_killed(run_dir, monkeypatch, is_last):
    """Make a run that ends before the first event for which `is_last` is true, and resume it."""
    append = Journal.append

    def die(journal, record):
        if is_last(journal, record):
            raise KeyboardInterrupt
        return append(journal, record)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", die)
        with pytest.raises(KeyboardInterrupt):
            run_loop(run_dir)
    assert run_loop(run_dir).kind == "finished"


@pytest.fixture(scope="module")
def finished(root):
    """Runs by the name of their case, made when first asked for."""
    made: dict[str, str] = {}

    def run(name):
        if name not in made:
            made[name] = create_run(configure(root, CASES[name]), str(root / name))
            assert run_loop(made[name]).kind == "finished"
        return made[name]

    return run


def check_outlines(run_dir):
    """The report shows, for each of its images, regions labelled by the cycle that it is at."""
    page = Storage(run_dir).read(write_report(run_dir, [1] * 6).rsplit("/", 1)[-1]).decode()
    panels = json.loads(re.search(r"^const panels=(.*);$", page, re.MULTILINE)[1])
    assert panels
    for frames in panels:
        counts = [len(frame["outlines"]) for frame in frames]
        assert counts == sorted(counts) and counts[-1] > 0
        for frame in frames:
            assert all(
                one["path"].startswith("M") and one["cycle"] <= frame["cycle"]
                for one in frame["outlines"]
            )


@pytest.mark.parametrize("name", NAMES)
def test_a_run_spends_its_budget_verifies_and_reports(finished, name):
    run_dir = finished(name)
    state = state_of(run_dir)
    assert verify(run_dir)["labelled_regions"] == state.labelled_regions > 0
    assert state.reserved == 0
    unspent = {"classes": 6, "windows": 25, "clicks": 100, "clicks_kcenter": 100}.get(
        name, 0
    )  # what one more region would cost at most
    assert state.amount - unspent <= state.spent <= state.amount
    chosen = [
        row
        for query in state.queries
        for row in read_table(Storage(run_dir), query.file).to_pylist()
    ]
    assert len({(row["image_id"], row["region"]) for row in chosen}) == len(chosen)
    assert np.isfinite([row["score"] for row in chosen]).all()
    check_outlines(run_dir)


@pytest.mark.parametrize("name", NAMES)
def test_sharding_changes_no_query(root, finished, name):
    other = create_run(configure(root, CASES[name], shard_size=2), str(root / f"{name}-shards"))
    run_loop(other)
    assert queries(other) == queries(finished(name))


@pytest.mark.parametrize("name", ["lazy", "lazy_pixels"])
def test_a_lazy_run_scores_fewer_images_and_says_what_it_missed(finished, name):
    run_dir = finished(name)
    state = state_of(run_dir)
    assert state.scored[0].num_images == 8
    later = {cycle: scored for cycle, scored in state.scored.items() if cycle > 0}
    for cycle, scored in later.items():
        assert 0 < scored.recall <= 1
        num_picked = len(read_table(Storage(run_dir), state.picked[cycle]))
        assert scored.num_images == (scored.num_left if scored.rest else num_picked)
    assert any(scored.num_images < scored.num_left for scored in later.values())


@pytest.mark.parametrize("name", KILLED)
def test_a_run_killed_after_any_event_chooses_the_same(root, finished, name, monkeypatch):
    whole = finished(name)
    num_events = len(Journal(Storage(whole)).events)
    for event in range(3, num_events, 4):
        killed = create_run(configure(root, CASES[name]), str(root / f"{name}-killed-{event}"))
        run_killed(
            killed,
            monkeypatch,
            lambda journal, record, event=event: len(journal.events) == event,
        )
        assert queries(killed) == queries(whole)


def test_a_query_compares_the_features_of_its_own_candidates(finished):
    """Later queries of a cycle let regions move up that were no candidates for features."""
    run_dir = finished("clicks_kcenter")
    storage, state = Storage(run_dir), state_of(run_dir)
    by_cycle = [query.cycle for query in state.queries if query.cycle >= 0]
    assert len(by_cycle) > len(set(by_cycle))
    for query in state.queries:
        if query.cycle >= 0:
            parts = [
                read_table(storage, ref, ["image_id", "region"]).to_pylist()
                for ref in state.features[query.cycle].values()
            ]
            known = {(row["image_id"], row["region"]) for part in parts for row in part}
            assert {
                (row["image_id"], row["region"])
                for row in read_table(storage, query.file).to_pylist()
            } <= known


def test_images_that_break_change_nothing_of_what_lazy_scoring_picked(tmp_path, monkeypatch):
    """Scoring the rest scores no image twice. 30 % of 17 images are 6, of 16 images 5."""
    write_synthetic(str(tmp_path / "data"), num_images=17, seed=0)
    lazy = {"acquisition": "entropy", "lazy": {"share": 0.3, "check": 0.5, "min_recall": 1}}
    changes = {
        "strategy": lazy,
        "scoring": {**SETTINGS["scoring"], "max_quarantined": 0.5},
        "budget": {"start": 4, "per_cycle": 4, "amount": 16},
    }
    decode, with_rest = vars(region_scores)["map_batches"], 0
    for number in range(3, 6):
        run_dir, name = (
            create_run(configure(tmp_path, changes), str(tmp_path / f"run-{number}")),
            f"train/{number:05d}.png",
        )

        def breaks(images, config, batch_size, worker_threads, work, run_dir=run_dir, name=name):
            for results, broken in decode(images, config, batch_size, worker_threads, work):
                lost = [
                    one
                    for one in results
                    if one[0].row["image_id"] == name and 1 in state_of(run_dir).trained
                ]
                yield (
                    [one for one in results if one not in lost],
                    broken + [(name, "gone") for _ in lost],
                )

        monkeypatch.setattr(region_scores, "map_batches", breaks)
        assert run_loop(run_dir).kind == "finished"
        verify(run_dir)
        state = state_of(run_dir)
        with_rest += any(scored.rest for cycle, scored in state.scored.items() if cycle > 0)
        for cycle in state.scored:
            parts = [
                read_table(Storage(run_dir), ref, ["image_id", "region"])
                for ref in state.scores[cycle].values()
                if ref is not None
            ]
            rows = [(row["image_id"], row["region"]) for part in parts for row in part.to_pylist()]
            assert len(rows) == len(set(rows))
    assert with_rest == 3


def test_the_last_checkpoint_stays_until_the_next_is_recorded(root, monkeypatch):
    changes = {
        "train": {**SETTINGS["train"], "policy": "finetune"},
        "cluster": {"host": "process", "keep_checkpoints": 1},
    }
    run_dir = create_run(configure(root, changes), str(root / "kept"))
    run_killed(
        run_dir,
        monkeypatch,
        lambda journal, record: record.kind == "cycle_trained" and record.cycle == 1,
    )
    kept = [
        event.data["cycle"]
        for event in Journal(Storage(run_dir)).events
        if event.kind == "cycle_trained"
        and Storage(run_dir).exists(event.data["files"]["model.pt"]["path"])
    ]
    assert kept == [max(state_of(run_dir).trained)]


def test_rules_by_class_end_where_nothing_is_left(root, tmp_path):
    """Of a part in the second query of a cycle, and of the pool, whose last image is broken."""
    clicks = {
        **SUPERPIXELS,
        "label": {"kind": "classes"},
        "budget": {"unit": "clicks", "start": 30, "per_cycle": 60, "amount": 300},
    }
    for name, strategy in (
        ("pixbal", {"acquisition": "pixbal"}),
        ("clasp", {"acquisition": "clasp"}),
    ):
        assert (
            run_loop(
                create_run(
                    configure(root, {**clicks, "strategy": strategy}), str(root / f"all-{name}")
                )
            ).kind
            == "finished"
        )
    write_synthetic(str(tmp_path / "data"), num_images=4, seed=0)
    path = tmp_path / "data" / "train" / "00003.png"
    path.write_bytes(path.read_bytes()[:2000])
    changes = {
        **batch("class_split", "clasp"),
        "budget": {"start": 4, "per_cycle": 4, "amount": 16},
    }
    changes["scoring"] = {**SETTINGS["scoring"], "max_quarantined": 0.5}
    assert (
        run_loop(create_run(configure(tmp_path, changes), str(tmp_path / "run"))).kind == "finished"
    )


def test_features_that_are_no_numbers_end_the_run(root, monkeypatch):
    run_dir = create_run(configure(root, batch("kmeans", "random")), str(root / "nan"))
    maps = FeatureScorer.feature_maps
    monkeypatch.setattr(
        FeatureScorer,
        "feature_maps",
        lambda scorer, images: tuple(values * np.nan for values in maps(scorer, images)),
    )
    with pytest.raises(
        RayALError, match=r"features of .* are not finite; the model of cycle 0 diverged"
    ):
        run_loop(run_dir)


@pytest.mark.parametrize("name", ON_RAY)
def test_scorers_on_ray_change_no_query(cluster, root, finished, name):
    other = create_run(configure(root, CASES[name], workers=2), str(root / f"{name}-ray"))
    assert run_loop(other).kind == "finished"
    assert queries(other) == queries(finished(name))
    # Ray Data says nothing in the terminal of the run.
    assert not logging.getLogger("ray.data").isEnabledFor(logging.WARNING)


def test_the_members_of_an_ensemble_differ(finished):
    state = state_of(finished("ensemble"))
    digests = {
        state.trained[0].model.sha256,
        *(member.model.sha256 for member in state.members[0].values()),
    }
    assert len(digests) == 3


def test_snapshots_are_kept_beside_the_model(finished):
    files = state_of(finished("snapshots")).trained[0].files
    assert [name for name in files if name.startswith("snapshot-")] == [
        "snapshot-01.pt",
        "snapshot-02.pt",
    ]


def test_regions_of_one_image_are_few_or_far_apart(finished):
    for query in state_of(finished("per_image")).queries[1:]:
        images = (
            read_table(Storage(finished("per_image")), query.file).column("image_index").to_pylist()
        )
        assert len(set(images)) == len(images)
    for query in state_of(finished("min_distance")).queries[1:]:
        rows = read_table(Storage(finished("min_distance")), query.file).to_pylist()
        for one in rows:  # cells are 48 x 64 pixels: only diagonal ones are 70 apart
            same = [row["region"] for row in rows if row["image_index"] == one["image_index"]]
            assert sorted(same) in ([0, 3], [1, 2], [same[0]])


def test_dominant_and_class_labels_say_no_more_than_was_asked(finished):
    for name, kind in (("dominant", "dominant"), ("classes", "classes")):
        state = state_of(finished(name))
        rows = [
            row
            for ref in state.label_parts
            for row in read_table(Storage(finished(name)), ref).to_pylist()
        ]
        assert {row["kind"] for row in rows} == {kind}
        assert sum(row["clicks"] for row in rows) == state.labelled_clicks == state.spent
        assert all(len(row["classes"]) <= 1 for row in rows) == (kind == "dominant")


@pytest.mark.parametrize(("name", "kind"), [("dominant", "final"), ("classes", "upper_bound")])
def test_final_models_train_on_the_same_kinds_of_labels(finished, name, kind):
    result = train_final(
        finished(name), kind, progress=lambda done, total: None, should_stop=lambda: False
    )
    assert result.num_steps == 4
    assert 0 <= result.metrics["val"].miou <= 1
    assert result.num_images == (
        8 if kind == "upper_bound" else state_of(finished(name)).trained[2].labelled.images
    )


def test_a_fork_of_superpixels_has_its_own_budget(root, finished):
    config = configure(root, CASES["superpixels"])
    start = start_config(config)
    assert start is not None
    source = create_run(start, str(root / "fork-start"))
    run_loop(source)
    fork = fork_run(source, config, str(root / "fork"))
    run_loop(fork)
    verify(fork)
    assert queries(fork) == queries(finished("superpixels"))


def test_a_fork_has_a_report_where_sizes_were_left_to_be_chosen(root):
    config = configure(root, SUPERPIXELS, shard_size="auto", batch_size="auto")
    source = create_run(start_config(config), str(root / "auto-start"))
    run_loop(source)
    fork = fork_run(source, config, str(root / "auto-fork"))
    run_loop(fork)
    check_outlines(fork)


@pytest.mark.parametrize(
    "changes", [{"train": {"extra_epochs": 3, "extra_every": 0.5}}, CASES["clicks"]]
)
def test_starts_that_the_whole_budget_decides_are_not_shared(root, changes):
    assert start_config(configure(root, changes)) is None


def test_replay_chooses_what_the_run_chose(finished):
    for name in ("badge", "class_balanced", "superpixels", "softmax"):
        cycles = replay(finished(name), []).cycles
        assert [cycle.overlap for cycle in cycles] == [1.0] * len(cycles)
    with pytest.raises(ConfigError, match="did not store"):
        replay(finished("softmax"), ["strategy.batch.kind=badge"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"strategy": {"acquisition": "entropie"}}, ["strategy.acquisition 'entropie'", "entropy"]),
        ({"strategy": {"acquisition": "nowhere:f"}}, ["nowhere"]),
        ({"strategy": {"acquisition": "bald", "passes": {"places": ["9"]}}}, ["9"]),
        ({"strategy": {"transforms": ["mirrow"]}}, ["mirrow"]),
        (batch("class_split"), ["class_split", "clasp"]),
        (batch("stratified", "random"), ["stratified", "'random'", "bvsb"]),
        (
            {"regions": {"kind": "pixels"}, **batch("stratified")},
            ["stratified", "regions.kind='pixels'"],
        ),
        (
            {"strategy": {"lazy": {}, "batch": {"kind": "stratified"}}},
            ["strategy.lazy", "stratified"],
        ),
        ({"strategy": {"batch": {"kind": "badge"}, "feature_layer": "7"}}, ["7"]),
        ({"strategy": {"batch": {"kind": "badge"}}}, ["strategy.feature_layer"]),
        (
            {"regions": {"kind": "pixels"}, "strategy": {"acquisition": "pixbal"}},
            ["regions.kind='pixels'", "pixbal"],
        ),
        ({"label": {"sieve": True}}, ["label.sieve", "dense"]),
        (
            {"label": {"kind": "classes"}, "train": {"class_weights": [1] * 6}},
            ["train.class_weights", "classes"],
        ),
        (
            {"budget": {"unit": "clicks", "start": 200, "per_cycle": 200, "amount": "10 %"}},
            ["budget.amount", "clicks"],
        ),
        (
            {"budget": {"unit": "clicks", "start": 90, "per_cycle": 60, "amount": 240}},
            ["budget.start", "90", "label.max_clicks=100"],
        ),
        (
            {"budget": {"unit": "clicks", "start": 200, "per_cycle": "2 %", "amount": 400}},
            ["budget.per_cycle=0.02", "clicks"],
        ),
        (
            {"budget": {"unit": "pixels", "start": 100, "per_cycle": 9000, "amount": 20000}},
            ["budget.start: 100", "3072"],
        ),
        (
            {"budget": {"unit": "pixels", "start": 9000, "per_cycle": 100, "amount": 20000}},
            ["budget.per_cycle: 100", "3072"],
        ),
        (
            {"budget": {"start": 20, "per_cycle": 1, "amount": 0.25}},
            ["budget.start=20", "budget.amount, 8"],
        ),
        (
            {"budget": {"start": 1, "per_cycle": 1, "amount": 4, "start_rule": "class_aware"}},
            ["budget.start (the rest): 0"],
        ),
        ({"budget": {**SETTINGS["budget"], "start_rule": "kcenter"}}, ["kcenter", "model.weights"]),
        (
            {"budget": {**SETTINGS["budget"], "start_rule": "centroids"}},
            ["start_rule='centroids'", "model.weights"],
        ),
        (
            {"budget": {**SETTINGS["budget"], "start_rule": "typicality"}},
            ["start_rule='typicality'", "model.weights"],
        ),
        (
            {"strategy": {"feature_layer": "backbone_maps", "batch": {"kind": "centroids"}}},
            ["backbone_maps", "not known"],
        ),
        (
            {"strategy": {"acquisition": "pixbal", "aggregation": "max"}},
            ["strategy.aggregation='max'", "pixbal"],
        ),
        (
            {"regions": {"kind": "windows"}, "strategy": {"aggregation": "max"}},
            ["strategy.aggregation='max'", "windows"],
        ),
        (batch("power", "balent"), ["balent", "softrank"]),
        ({"strategy": {"acquisition": "random", "label_time": {}}}, ["label_time", "'random'"]),
        (
            {"strategy": {"acquisition": "balent", "label_time": {}, "passes": {"count": 2}}},
            ["label_time", "'balent'", "below 0"],
        ),
        (
            {"strategy": {"acquisition": "bvsb", "label_time": {}, "lazy": {}}},
            ["strategy.lazy", "label_time"],
        ),
        (
            {"regions": {"kind": "pixels"}, "strategy": {"label_time": {}}},
            ["label_time", "regions.kind='pixels'", "same time"],
        ),
        (
            {"label": {"kind": "dominant"}, "strategy": {"label_time": {}}},
            ["label_time", "label.kind='dominant'", "one click"],
        ),
        ({"strategy": {"acquisition": "random", "lazy": {}}}, ["strategy.lazy", "random"]),
        (
            {"strategy": {"acquisition": "class_balanced", "lazy": {}}},
            ["strategy.lazy", "class_balanced"],
        ),
        (
            {"strategy": {"acquisition": "bald", "passes": {"kind": "snapshots", "count": 4}}},
            ["strategy.passes.count=4", "train.steps=4"],
        ),
        (
            {"strategy": SNAPSHOTS, "budget": {**SETTINGS["budget"], "start_rule": "scored"}},
            ["start_rule='scored'", "snapshots"],
        ),
        (
            {**SUPERPIXELS, "budget": {**SETTINGS["budget"], "start_rule": "equal_per_image"}},
            ["equal_per_image", "superpixels"],
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(root, changes, words):
    with pytest.raises(ConfigError) as error:
        create_run(configure(root, changes), str(root / "refused"))
    assert all(word in str(error.value) for word in words), str(error.value)
    assert not (root / "refused").exists()


def test_clicks_stand_in_the_curve(finished):
    lines = Storage(finished("clicks")).read("curve.csv").decode().splitlines()
    column = lines[0].split(",").index("labelled_clicks")
    clicks = [int(line.split(",")[column]) for line in lines[1:]]
    assert clicks == sorted(clicks)
    assert clicks[-1] == state_of(finished("clicks")).spent
    assert json.loads(Storage(finished("clicks")).read("status.json"))["stage"] == "finished"


KINDS: dict[str, Any] = {
    "grid": {"regions": {"rows": 2, "columns": 2}},
    "image": {"regions": {"kind": "image"}},
    "superpixels": SUPERPIXELS,
    "pixels": {"regions": {"kind": "pixels", "radius": 3, "per_image": 5}},
    "windows": {"regions": {"kind": "windows", "radius": 2, "per_image": 5}},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("score", ACQUISITIONS)
def test_every_combination_runs(root, tmp_path, score, kind):
    """Of score, batch rule and region kind: to the end, or refused before it begins."""
    ran = 0
    for rule, variant in {
        rule: BATCH_RULES.parse({"kind": rule}) for rule in BATCH_RULES.kinds
    }.items():
        few = {"candidates": 6} if variant.num_candidates(2) else {}
        strategy = {
            "acquisition": score,
            "feature_layer": "2",
            "passes": {"count": 2},
            "batch": {"kind": rule, **few},
        }
        config = configure(
            root,
            {
                **KINDS[kind],
                "strategy": strategy,
                "budget": {"start": 2, "per_cycle": 2, "amount": 4},
            },
        )
        try:
            run_dir = create_run(config, str(tmp_path / rule))
        except ConfigError:
            by_class = ACQUISITIONS[score].attribution != "none" or variant.reads_covers
            sparse = kind in ("pixels", "windows") and by_class
            assert sparse or variant.why_not(score, ACQUISITIONS[score]) is not None
            continue
        assert run_loop(run_dir).kind == "finished"
        assert verify(run_dir)["labelled_regions"] == 4
        ran += 1
    assert ran or kind in ("pixels", "windows")
