"""Where images are: stored below the root of the data, opened where the data are now."""

import fsspec
import pyarrow as pa
import pytest
from PIL import Image

from ray_al.core.config import DataConfig, parse_config
from ray_al.core.types import MANIFEST_SCHEMA
from ray_al.datasets.catalog import data_root, open_dataset, with_root
from ray_al.datasets.images import read_image
from ray_al.datasets.manifest import absolute_places, build_manifest, relative_places

NAMES = ["train/0 ü%20#.png", "train/a/1 🌍.png", "train/2.png"]


def manifest(uris, mask_uris, names=NAMES):
    rows = [
        {
            "image_index": i,
            "image_id": names[i],
            "uri": uri,
            "mask_uri": mask,
            "height": 2,
            "width": 3,
            "num_regions": 1,
        }
        for i, (uri, mask) in enumerate(zip(uris, mask_uris, strict=True))
    ]
    return pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA)


def places(table):
    return table["uri"].to_pylist(), table["mask_uri"].to_pylist()


@pytest.mark.parametrize(
    "root",
    ["/data/x", "/data/x/", "s3://bucket/x", "s3://bucket/x/", "gs://bucket", "file:///data/x"],
)
def test_stored_places_are_below_any_root(root):
    prefix = root.rstrip("/") + "/"
    stored = manifest(NAMES, ["annot/0.png", None, "annot/2.png"])
    found = absolute_places(stored, root)
    assert places(found) == (
        [prefix + name for name in NAMES],
        [f"{prefix}annot/0.png", None, f"{prefix}annot/2.png"],
    )
    assert found.schema == MANIFEST_SCHEMA
    assert places(absolute_places(stored.slice(1, 1), root)) == ([prefix + NAMES[1]], [None])
    assert len(absolute_places(stored.slice(0, 0), root)) == 0


@pytest.mark.parametrize("old", ["/old place", "s3://old/data", "file:///old"])
def test_whole_places_of_earlier_versions_move_too(old):
    stored = manifest(
        [f"{old}/{name}" for name in NAMES], [f"{old}/annot/0.png", None, "/elsewhere/2.png"]
    )
    assert places(absolute_places(stored, "/new")) == (
        [f"/new/{name}" for name in NAMES],
        ["/new/annot/0.png", None, "/elsewhere/2.png"],
    )
    assert places(absolute_places(stored, old)) == places(stored)


def test_places_elsewhere_stay_whole():
    names = ["b.png", "b.png", "b.png"]
    stored = manifest(["/else/x.png", "s3://b/x.png", "train/b.png"], [None, None, None], names)
    assert places(absolute_places(stored, "/new"))[0] == [
        "/else/x.png",
        "s3://b/x.png",
        "/new/train/b.png",
    ]
    assert places(relative_places(stored, "/els"))[0] == [
        "/else/x.png",
        "s3://b/x.png",
        "train/b.png",
    ]


@pytest.mark.parametrize("there", ["disk", "relative", "memory"])
def test_from_a_data_set_and_back(tmp_path, monkeypatch, there):
    monkeypatch.chdir(tmp_path)
    for folder in ("train", "trainannot", "val", "valannot"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        Image.new("RGB" if "annot" not in folder else "L", (6, 4)).save(
            tmp_path / "data" / folder / "0.png"
        )
    root = {"disk": f"{tmp_path}/data/", "relative": "data", "memory": "memory://places"}[there]
    memory = fsspec.filesystem("memory")
    memory.put(f"{tmp_path}/data", "/places", recursive=True)
    try:
        dataset = open_dataset(DataConfig(dataset="camvid", root=root))
        table, _ = build_manifest(dataset.splits["train"], lambda height, width: 1)
        stored = relative_places(table, dataset.root)
        assert places(stored) == (["train/0.png"], ["trainannot/0.png"])
        found = absolute_places(stored, dataset.root)
        assert read_image(found["uri"][0].as_py()).shape == (4, 6, 3)
    finally:
        memory.rm("/places", recursive=True)


def test_synthetic_scenes_are_where_their_driver_finds_them(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/one")
    config = with_root(parse_config({}, source="c"))
    monkeypatch.setenv("XDG_CACHE_HOME", "/other")
    assert data_root(config.data) == "/one/ray_al/synthetic-48-0"
    assert with_root(config) == config
