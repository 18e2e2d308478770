"""Every acquisition function passes one suite, on every region kind that it supports."""

import io
import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from helpers.own_variants import own

from ray_al.acquisition import ACQUISITIONS, find_acquisition
from ray_al.acquisition.views import PredictionStatistics
from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef, ImageFile
from ray_al.core.variants import OFFERS
from ray_al.datasets.images import read_image, resize_image
from ray_al.datasets.manifest import build_manifest
from ray_al.datasets.synthetic import write_synthetic
from ray_al.driver.check_strategy import check_strategy
from ray_al.driver.pool import shard_numbers, table_bytes
from ray_al.features.embed import load_embedder
from ray_al.features.fill import fill_shard
from ray_al.features.source import pool_source
from ray_al.models import build_model
from ray_al.models.state import load_trained, trained_state
from ray_al.scoring.class_stats import final_parts, pool_stats, predicted_shares
from ray_al.scoring.inputs import Features, ImageInputs
from ray_al.scoring.scorer import Scorer
from ray_al.scoring.shards import make_tasks
from ray_al.scoring.work import work_shard
from ray_al.train.state import dump

NUM_CLASSES, NUM_IMAGES = 6, 5
TESTED: dict[str, Any] = {
    **ACQUISITIONS,
    **{name: find_acquisition(name) for name in own("strategy.acquisition")},
}
WITH_MODEL = [name for name, row in TESTED.items() if row.needs_model]
KINDS: dict[str, Any] = {
    "grid": {"rows": 3, "columns": 2},
    "image": {},
    "superpixels": {"count": 24},
    "pixels": {"per_image": 4, "radius": 3},
    "windows": {"per_image": 4, "radius": 2},
}
PASSES = ("dropout", "ensemble")
OF_MODELS = [
    name for name, row in TESTED.items() if row.inputs == "passes" and "plain" not in row.wants
]
"""Functions that take passes of several models; one that needs the plain prediction has one model.
"""


MODELS: dict[str, Any] = {
    "network": {"name": "helpers.networks:tiny_with_dropout"},
    "frozen": {
        "kind": "composed",
        "backbone": {"kind": "helpers.tiny_backbones:TwoMapsBackbone"},
        "head": {"kind": "fpn", "width": 8, "dropout": 0.5},
    },
}


def configure(root, score, kind="grid", passes="dropout", model="network", **changes):
    values = {
        "data": {"root": str(root / "data"), "image_size": [32, 48]},
        "regions": {"kind": kind, **KINDS[kind]},
        "model": MODELS[model],
        "strategy": {
            "acquisition": score,
            "passes": {"kind": passes, "count": 3},
            "transforms": ["mirror", "rotate90", "scale0.5"],
        },
        "scoring": {
            "batch_size": 3,
            "precision": "fp32",
            "workers": 0,
            "threads": 1,
            "shard_size": 2,
            **changes,
        },
    }
    return parse_config(values, source="test")


def supported():
    for name, kind in itertools.product(TESTED, KINDS):
        if kind not in ("pixels", "windows") or TESTED[name].attribution == "none":
            yield name, kind


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("scores")
    write_synthetic(str(root / "data"), num_images=NUM_IMAGES, seed=0)
    for name, number in itertools.product(MODELS, range(3)):
        torch.manual_seed(number)
        buffer = io.BytesIO()
        network = build_model(configure(root, "entropy", model=name).model, NUM_CLASSES)
        torch.save(trained_state(network), buffer)
        (root / f"{name}-{number}.pt").write_bytes(buffer.getvalue())
    return root


def states(root, config):
    """Weights of the models that the function takes."""
    several = (
        TESTED[config.strategy.acquisition].inputs == "passes"
        and config.strategy.passes.kind == "ensemble"
    )
    name = "frozen" if config.model.is_frozen else "network"
    return [(root / f"{name}-{number}.pt").read_bytes() for number in range(3 if several else 1)]


def batch(scorer, images):
    """What the scorer takes, of uint8 (N, H, W, 3)."""
    pixels = ImageInputs(images, scorer.config.data.normalize, scorer.form)
    if not scorer.config.model.is_frozen:
        return pixels
    embedder = load_embedder(scorer.config.model_dump_json(), "cpu")
    mirrored = list(embedder.records(list(images[:, :, ::-1])))
    return Features(
        list(embedder.records(list(images))),
        embedder.layout,
        scorer.form,
        views={"mirror": mirrored},
        pixels=pixels,
        backbone=embedder.maps,
    )


def score_of(name, logits):
    row = TESTED[name]
    if row.inputs == "logits":
        return row.score_logits(logits)
    views = PredictionStatistics(row.wants)
    views.add(logits)
    return row.score_views(views)


@pytest.mark.parametrize(
    "name",
    [
        "least_confidence",
        "margin",
        "entropy",
        "bvsb",
        "one_vs_rest",
        "equal",
        "soft_vote_entropy",
        "expected_entropy",
    ],
)
def test_pixels_score_higher_where_the_prediction_is_less_sure(name):
    uniform, sure = torch.zeros(2, 4, 3, 5), torch.zeros(2, 4, 3, 5)
    sure[:, 1] = 1e4
    assert score_of(name, uniform).shape == (2, 3, 5)
    assert torch.isfinite(score_of(name, uniform)).all()
    assert (score_of(name, uniform) > score_of(name, sure)).all()
    assert (score_of(name, sure).abs() < 1e-6).all()


def passes_of_functions():
    for name in WITH_MODEL:
        yield from (
            (name, passes)
            for passes in PASSES
            if passes != "ensemble" or "plain" not in TESTED[name].wants
        )
    yield from (("edald", "noise"), ("edald", "features"), ("bald", "noise"))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("name", "passes"), passes_of_functions())
def test_a_map_does_not_depend_on_the_batch(root, name, passes, model):
    if passes in ("noise", "features") and model == "network":
        pytest.skip(
            "the backbone of another package's network is not known, "
            "and check_strategy refuses such passes"
        )
    config = configure(root, name, passes=passes, model=model)
    scorer = Scorer(config, config.strategy, NUM_CLASSES, states(root, config))
    images = np.random.default_rng(0).integers(0, 255, (3, 32, 48, 3), np.uint8)
    together = scorer.maps(batch(scorer, images))
    backwards = scorer.maps(batch(scorer, images[::-1].copy()))
    alone = [scorer.maps(batch(scorer, np.stack([image] * 3))).values[0] for image in images]
    assert together.values.shape[0] == 3
    assert torch.isfinite(together.values).all()
    assert (together.probabilities is not None) == (TESTED[name].attribution != "none")
    for position in range(3):
        assert torch.equal(together.values[position], backwards.values[2 - position])
        assert torch.equal(together.values[position], alone[position])


NOT_SMOOTH = ("vote_entropy", "variation_ratio", "dropquery", "balent", "ripu")
"""Votes jump, and RIPU counts its window in pixels of the map, coarser than the reference's."""


@pytest.mark.parametrize("name", [name for name in WITH_MODEL if name not in NOT_SMOOTH])
def test_close_to_the_reference_precision(root, name):
    images = np.stack(
        [
            resize_image(read_image(str(path)), (32, 48))
            for path in sorted((root / "data" / "train").glob("*.png"))[:3]
        ]
    )
    means = []
    for precision in ("fp32", "reference"):
        config = configure(root, name, precision=precision)
        scorer = Scorer(config, config.strategy, NUM_CLASSES, states(root, config))
        means.append(scorer.maps(batch(scorer, images)).values.mean((1, 2)))
    assert torch.allclose(means[0], means[1], rtol=0.05, atol=0.005)


@pytest.mark.parametrize("name", [name for name in WITH_MODEL if name not in NOT_SMOOTH])
def test_features_score_as_their_images_do_within_the_rounding_of_bf16(root, name):
    """Features keep 8 bits of precision: scores move by less than a hundredth of their range.

    A disagreement is a small difference of entropies, which float32 itself rounds.
    """
    rounding = 8 * torch.finfo(torch.float32).eps
    config = configure(root, name, model="frozen")
    model = {**MODELS["frozen"], "frozen": False}
    network = build_model(config.model, NUM_CLASSES)
    load_trained(network, torch.load(io.BytesIO(states(root, config)[0]), weights_only=True))
    whole = parse_config({**config.model_dump(mode="json"), "model": model}, source="test")
    found = Scorer(config, config.strategy, NUM_CLASSES, states(root, config))
    expected = Scorer(whole, whole.strategy, NUM_CLASSES, [dump(dict(network.state_dict()))])
    images = np.random.default_rng(0).integers(0, 255, (3, 32, 48, 3), np.uint8)
    ours, theirs = (
        found.maps(batch(found, images)).values,
        expected.maps(batch(expected, images)).values,
    )
    assert not torch.equal(ours, theirs)
    assert (ours - theirs).abs().max() < 0.01 * (theirs.max() - theirs.min()) + rounding


def run_shards(root, config, *, cycle=3, remaining=None):
    """The score parts of a cycle, as tables, and their files."""
    settings, kind = config.strategy, config.regions
    parts = (
        settings.acquisition,
        config.regions.kind,
        settings.passes.kind,
        config.model.kind,
        config.features.store.kind,
        config.scoring.shard_size,
        cycle,
    )
    storage = Storage(str(root / "-".join(map(str, ("run", *parts)))))
    images = [
        ImageFile(image_id=f"train/{path.name}", uri=str(path))
        for path in sorted((root / "data" / "train").glob("*.png"))
    ]
    manifest, _ = build_manifest(images, kind.num_regions)
    weights = tuple(
        storage.put(f"model-{n}.pt", state, attempt=1)
        for n, state in enumerate(states(root, config))
    )

    def work(what, manifest, output, regions_of, **changes):
        ref = storage.put(f"{output}-manifest.parquet", table_bytes(manifest), attempt=1)
        common = {
            "cycle": cycle,
            "seed": 0,
            "run_uri": storage.root,
            "manifest": ref,
            "weights": weights,
            "output": output,
            "attempt": 1,
        }
        tasks = make_tasks(
            config,
            NUM_IMAGES,
            work=what,
            images=np.ones(NUM_IMAGES, bool),
            regions_of=regions_of,
            **{"done": set(), **changes},
            **common,
        )
        return {task.shard: work_shard(task, config).file for task in tasks}

    maps: dict[int, FileRef | None] | None = None
    if kind.needs_maps:
        maps = work("maps", manifest, "maps", lambda start, stop: b"")
        counts = [
            row["num_regions"] for ref in maps.values() for row in read(storage, ref).to_pylist()
        ]
        manifest = manifest.set_column(
            manifest.schema.get_field_index("num_regions"),
            "num_regions",
            pa.array(counts, pa.int32()),
        )
    counts = manifest.column("num_regions").to_numpy()
    offsets = np.concatenate(
        [[0], np.cumsum(np.full(NUM_IMAGES, 96 * 128) if config.regions.is_sparse else counts)]
    )
    if config.regions.is_sparse:
        taken = np.array([5 * 128 + 5, 96 * 128 + 7], dtype=np.int64)
        files = work(
            "scores",
            manifest,
            "scores",
            lambda start, stop: shard_numbers(taken, offsets[start], offsets[stop]),
        )
    else:
        left = np.ones(offsets[-1], bool) if remaining is None else remaining
        files = work(
            "scores",
            manifest,
            "scores",
            lambda start, stop: np.packbits(left[offsets[start] : offsets[stop]]).tobytes(),
            maps=maps,
        )
    return [read(storage, ref) for ref in files.values() if ref is not None], files


@pytest.mark.parametrize("kind", ["grid", "pixels"])
@pytest.mark.parametrize("name", ["entropy", "equal", "bald"])
def test_scores_are_the_same_from_stored_features_without_an_image_being_opened(
    root, name, kind, monkeypatch
):
    values = configure(root, name, kind, model="frozen").model_dump(mode="json")
    values["strategy"]["transforms"] = ["mirror"]
    found = []
    for store in (
        {"kind": "none"},
        {"kind": "files", "root": str(root / f"features-{name}-{kind}")},
    ):
        config = parse_config(
            {**values, "features": {"store": store, "batch_size": 2}}, source="test"
        )
        if store["kind"] == "files":
            fill_store(root, config)
            monkeypatch.setattr("ray_al.features.source.read_seen", not_opened)
            monkeypatch.setattr("ray_al.scoring.decode.read_seen", not_opened)
        found.append(rows(run_shards(root, config, cycle=8)[0]))
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", ["pixels", "windows"])
@pytest.mark.parametrize("offer", sorted(OFFERS.kinds))
def test_what_images_offer_is_the_same_however_the_pool_is_cut(root, offer, kind):
    found = []
    for size in (2, 3):
        values = configure(
            root, "edald", kind, passes="noise", model="frozen", shard_size=size
        ).model_dump(mode="json")
        values["strategy"]["offer"] = {"kind": offer}
        # A cycle of its own keeps the files of the cases apart.
        number = 20 + sorted(OFFERS.kinds).index(offer)
        found.append(rows(run_shards(root, parse_config(values, source="test"), cycle=number)[0]))
    assert found[0] == found[1]
    assert (
        len({(row["image_id"], row["region"]) for row in found[0]})
        == len(found[0])
        == 4 * NUM_IMAGES
    )
    assert np.isfinite([row["score"] for row in found[0]]).all()


def not_opened(uri, size):
    raise AssertionError(f"{uri} was opened")


def fill_store(root, config):
    """What another run left in a shared store."""
    images = [
        ImageFile(image_id=f"train/{path.name}", uri=str(path))
        for path in sorted((root / "data" / "train").glob("*.png"))
    ]
    manifest, _ = build_manifest(images, lambda height, width: 0)
    source = pool_source(config, str(root / "other"), manifest)
    for shard in range(len(source.shards)):
        fill_shard(source, source.store, shard, (0, source.mirror_view))


def read(storage, ref):
    return pq.read_table(io.BytesIO(storage.read_ref(ref)))


def rows(tables):
    names = ("image_id", "region", "score", "num_pixels", "dominant", "class_scores", "covers")
    return [
        {name: row.get(name) for name in names} for table in tables for row in table.to_pylist()
    ]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("name", "kind"), supported())
def test_scores_of_any_sharding_are_the_same_finite_and_complete(root, name, kind, model):
    config = configure(root, name, kind, model=model)
    tables, _ = run_shards(root, config)
    other, _ = run_shards(root, configure(root, name, kind, model=model, shard_size=3))
    found = rows(tables)
    assert found == rows(other)
    assert np.isfinite([row["score"] for row in found]).all()
    assert len({(row["image_id"], row["region"]) for row in found}) == len(found)
    if config.regions.is_sparse:
        assert len(found) == 4 * NUM_IMAGES
        assert not {(0, 5 * 128 + 5), (1, 7)} & {
            (int(row["image_id"][6:11]), row["region"]) for row in found
        }
    else:
        assert sum(row["num_pixels"] for row in found) == NUM_IMAGES * 96 * 128
    finished = finish(tables, config)
    assert np.isfinite(finished).all()
    assert np.array_equal(finished, finish(other, config))


def finish(tables, config):
    """Final scores of all regions, in the order of the parts."""
    function = TESTED[config.strategy.acquisition]
    if function.attribution == "none":
        return np.concatenate([table.column("score").to_numpy() for table in tables])
    parts = [lambda table=table: table for table in tables]
    iou = np.array([0.5, 0.1, np.nan, 0.9, 0.0, 0.3])
    stats = pool_stats(parts, function, NUM_CLASSES, iou)
    assert stats.mean_probability.sum() == pytest.approx(1)
    return np.concatenate(
        [part.column("score").to_numpy() for part in final_parts(parts, function, stats)]
    )


@pytest.mark.parametrize("name", TESTED)
def test_only_what_remains_is_scored(root, name):
    remaining = np.ones(30, bool)
    remaining[[0, 7, *range(12, 18)]] = False
    tables, _ = run_shards(root, configure(root, name), cycle=4, remaining=remaining)
    found = {(row["image_id"], row["region"]) for row in rows(tables)}
    assert len(found) == 22
    assert ("train/00000.png", 0) not in found
    assert not any(image_id == "train/00002.png" for image_id, _ in found)


@pytest.mark.parametrize("name", OF_MODELS)
def test_an_ensemble_is_scored_together(root, name):
    tables, _ = run_shards(root, configure(root, name, passes="ensemble"))
    assert np.isfinite([row["score"] for row in rows(tables)]).all()
    assert rows(tables) != rows(run_shards(root, configure(root, name))[0])


@pytest.mark.parametrize("aggregation", ["mean", "sum", "max", "top_share"])
def test_aggregations_order_as_they_should(root, aggregation):
    config = configure(root, "entropy")
    config = config.model_copy(
        update={"strategy": config.strategy.model_copy(update={"aggregation": aggregation})}
    )
    scorer = Scorer(config, config.strategy, NUM_CLASSES, states(root, config))
    assert scorer.strategy.aggregation == aggregation
    means = rows(run_shards(root, configure(root, "entropy"))[0])
    found = rows(
        run_shards(
            root, config, cycle={"mean": 3, "sum": 5, "max": 6, "top_share": 7}[aggregation]
        )[0]
    )
    ratios = [row["score"] / mean["score"] for row, mean in zip(found, means, strict=True)]
    low, high = {"mean": (1, 1), "sum": (2048, 2048), "max": (1, 100), "top_share": (1, 100)}[
        aggregation
    ]
    assert all(low * (1 - 1e-5) <= ratio <= high * (1 + 1e-5) for ratio in ratios)


@pytest.mark.parametrize("kind", ["grid", "image", "superpixels"])
@pytest.mark.parametrize("name", ["bvsb", "class_balanced", "pixbal", "equal"])
def test_what_predicted_classes_cover_is_counted_out(root, name, kind):
    """Each class's part of a region is returned as well, and agrees with a map laid by hand."""
    values = {
        **configure(root, name, kind).model_dump(mode="json"),
        "scoring": {"precision": "reference", "workers": 0, "threads": 1, "shard_size": 2},
    }
    values["strategy"]["batch"]["kind"] = "stratified"
    config = parse_config(values, source="test")
    tables, _ = run_shards(root, config, cycle=9)
    other, _ = run_shards(
        root,
        parse_config({**values, "scoring": {**values["scoring"], "shard_size": 3}}, source="test"),
        cycle=9,
    )
    assert rows(tables) == rows(other)
    shares = predicted_shares([table.schema for table in tables], NUM_CLASSES)
    assert np.array_equal(shares, predicted_shares([table.schema for table in other], NUM_CLASSES))
    plain = parse_config(
        {**values, "strategy": {**values["strategy"], "batch": {"kind": "topk"}}}, source="test"
    )
    assert [{**row, "covers": None} for row in rows(tables)] == rows(
        run_shards(root, plain, cycle=10)[0]
    )

    scorer, counts = (
        Scorer(config, config.strategy, NUM_CLASSES, states(root, config)),
        np.zeros(NUM_CLASSES),
    )
    regions = config.regions
    for path in sorted((root / "data" / "train").glob("*.png")):
        image = read_image(str(path))
        classes = scorer.maps(batch(scorer, resize_image(image, (32, 48))[None])).classes[0].numpy()
        counts += np.bincount(classes.ravel(), minlength=NUM_CLASSES)
        labels = native_labels(regions, image)
        fine = np.repeat(
            np.repeat(classes, 3, axis=0), 8, axis=1
        )  # 96 x 384: a cell of the map is 3 x 8, a pixel of the image 1 x 3
        for row in rows(tables):
            if row["image_id"] == f"train/{path.name}":
                inside = fine[np.repeat(labels, 3, axis=1) == row["region"]]
                assert np.allclose(
                    row["covers"],
                    np.bincount(inside, minlength=NUM_CLASSES) / len(inside),
                    atol=1e-6,
                )
    assert np.allclose(shares, counts / counts.sum(), atol=1e-12)


def native_labels(regions, image):
    """The region of each pixel."""
    if regions.needs_maps:
        return regions.segment(image)
    labels = np.zeros(image.shape[:2], dtype=int)
    for number, (top, left, bottom, right) in enumerate(regions.of_image(*image.shape[:2]).boxes):
        labels[top:bottom, left:right] = number
    return labels


def test_random_differs_from_cycle_to_cycle(root):
    config = configure(root, "random")
    assert rows(run_shards(root, config, cycle=3)[0]) != rows(run_shards(root, config, cycle=4)[0])


def test_dropout_differs_from_cycle_to_cycle(root):
    config = configure(root, "bald")
    assert rows(run_shards(root, config, cycle=3)[0]) != rows(run_shards(root, config, cycle=4)[0])


@pytest.mark.parametrize(
    "name", [name for name, row in TESTED.items() if row.attribution != "none"]
)
def test_functions_of_classes_refuse_pixels(root, name):
    with pytest.raises(ConfigError, match="regions.kind='pixels'"):
        check_strategy(configure(root, name, "pixels"), NUM_CLASSES)
