"""What features take of a disk is counted before a run, and a sweep keeps them once."""

import json
from dataclasses import asdict

import pytest
import yaml
from click.testing import CliRunner
from helpers.records import run_created

from ray_al.cli import main
from ray_al.core.config import RunConfig, load_config, parse_config
from ray_al.core.storage import Storage
from ray_al.core.types import PoolSizes
from ray_al.datasets.synthetic import write_synthetic
from ray_al.driver.cycles import num_passes
from ray_al.driver.feature_costs import feature_costs
from ray_al.features.files import ShardFiles
from ray_al.ledger import State
from ray_al.sweep.effective import canonical
from ray_al.sweep.trial import share_features

RECORD = 2 * 4 * (4 * 6 + 2 * 3)
POOL = PoolSizes(num_images=1000, num_regions=25_000, num_pixels=10**6)


def values(**features):
    return {
        "data": {"dataset": "synthetic", "image_size": [16, 24]},
        "model": {"kind": "composed", "backbone": {"kind": "helpers.tiny_backbones:TinyBackbone"}},
        "train": {"steps": 2},
        "budget": {"start": 500, "per_cycle": 500, "amount": 3000},
        "features": features,
    }


def small():
    """Over a pool of twelve images beside the file."""
    return values() | {
        "data": {"dataset": "synthetic", "root": "data", "image_size": [16, 24]},
        "budget": {"start": 20, "amount": 80, "per_cycle": 20},
    }


def configure(**features) -> RunConfig:
    return parse_config(values(**features), source="test")


def costs(tmp_path, config):
    return feature_costs(config, POOL, 3000, 10, str(tmp_path / "run"))


def test_a_run_counts_its_views_and_its_validation_images(tmp_path):
    counted = costs(tmp_path, configure())
    assert (counted.num_images, counted.num_views, counted.image_bytes) == (1000, 4, 4 * RECORD)
    assert counted.num_bytes == (4 * 1000 + 10) * RECORD
    assert counted.free_bytes > 0 and counted.fits
    assert (
        "1000 pool images" in counted.text and "4 views" in counted.text and "free" in counted.text
    )


def test_beyond_the_limit_fewer_views_and_images_are_counted(tmp_path):
    limit = 500 * RECORD / 2**30
    counted = costs(tmp_path, configure(store={"kind": "files", "limit_gb": limit}))
    assert (counted.num_images, counted.num_views) == (448, 1)  # seven whole shards of 64


@pytest.mark.parametrize("store", [{"kind": "none"}, {"kind": "files", "least_passes": 6}], ids=str)
def test_a_run_whose_features_are_not_worth_it_stores_none(tmp_path, store):
    config = configure(store=store)
    assert num_passes(State(created=run_created(**asdict(POOL), amount=3000)), config) == 5
    counted = costs(tmp_path, config)
    assert counted.num_bytes == 0 and "where they are needed" in counted.text


def test_a_network_that_is_trained_has_no_features(tmp_path):
    assert feature_costs(RunConfig(), POOL, 3000, 10, str(tmp_path)) is None


def test_a_disk_without_room_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr(ShardFiles, "free_bytes", lambda self: 1000)
    assert not costs(tmp_path, configure()).fits
    write_synthetic(str(tmp_path / "data"), num_images=12, seed=0)
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(small()))
    result = CliRunner().invoke(
        main, ["doctor", "--config", str(file), "--storage", str(tmp_path), "--json"]
    )
    (row,) = [row for row in json.loads(result.output) if row["check"] == "features"]
    assert result.exit_code == 1 and not row["ok"] and "limit_gb" in row["remedy"]
    monkeypatch.undo()
    result = CliRunner().invoke(
        main, ["doctor", "--config", str(file), "--storage", str(tmp_path), "--json"]
    )
    (row,) = [row for row in json.loads(result.output) if row["check"] == "features"]
    assert row["ok"] and "12 pool images" in row["found"]


def test_a_sweep_counts_features_once(tmp_path):
    write_synthetic(str(tmp_path / "data"), num_images=12, seed=0)
    file = tmp_path / "sweep.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "name": "s",
                "run": small(),
                "seeds": [0, 1],
                "space": {"strategy.acquisition": ["entropy", "equal"]},
            }
        )
    )
    result = CliRunner().invoke(main, ["sweep", str(file), "--dry-run", "--json"])
    assert result.exit_code == 0, result.output
    (features,) = json.loads(result.output)["features"]
    assert (features["num_images"], features["num_bytes"]) == (12, (12 * 4 + 4) * RECORD)
    assert "12 pool images" in CliRunner().invoke(main, ["sweep", str(file), "--dry-run"]).output


def test_runs_of_a_sweep_share_a_place_unless_they_name_one():
    assert vars(share_features(configure(), "/sweep").features.store)["root"] == "/sweep/features"
    own = configure(store={"kind": "files", "root": "/mine"})
    assert vars(share_features(own, "/sweep").features.store)["root"] == "/mine"
    none = configure(store={"kind": "none"})
    assert share_features(none, "/sweep") == none
    assert share_features(RunConfig(), "/sweep") == RunConfig()


def test_where_features_are_kept_makes_no_other_run():
    assert canonical(configure()) == canonical(configure(store={"kind": "files", "root": "/mine"}))
    assert canonical(configure()) != canonical(configure(views=[]))
    assert canonical(RunConfig()) == canonical(RunConfig(features={"views": []}))


@pytest.mark.parametrize("place", ["file/below", "nowhere://bucket/features"])
def test_a_place_that_cannot_be_used_is_refused_before_work(tmp_path, place):
    write_synthetic(str(tmp_path / "data"), num_images=12, seed=0)
    (tmp_path / "file").write_text("")
    file = tmp_path / "run.yaml"
    file.write_text(
        yaml.safe_dump(small() | {"features": {"store": {"kind": "files", "root": place}}})
    )
    result = CliRunner().invoke(
        main,
        [
            "run",
            str(file),
            "--out",
            str(tmp_path / "run"),
            "--set",
            "cluster.host=process",
            "--set",
            "scoring.workers=0",
        ],
    )
    assert result.exit_code == 2 and "features.store.root" in result.output
    assert not (tmp_path / "run").exists()


def test_the_place_of_a_store_is_relative_to_its_file(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(values(store={"kind": "files", "root": "kept"})))
    config = load_config(str(file))
    assert vars(config.features.store)["root"] == str(tmp_path / "kept")
    assert config.features.store.open("/run").storage.root == str(tmp_path / "kept")
    assert (
        configure().features.store.open(str(tmp_path / "run")).storage.root
        == Storage(str(tmp_path / "run/features")).root
    )
