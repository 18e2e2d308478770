"""A user's own region kinds choose, label and report as built-in ones, also in Ray's workers."""

from typing import ClassVar

import numpy as np
import pytest
from helpers.run_reading import queries

from ray_al.core.config import parse_config
from ray_al.core.families.regions import Regions
from ray_al.datasets.synthetic import write_synthetic
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop
from ray_al.driver.verify import verify
from ray_al.regions.connect import connect
from ray_al.regions.maps import MappedRegions, MapRegions
from ray_al.regions.sparse import Radius, SparseRegions
from ray_al.report.build import write_report

pytestmark = pytest.mark.slow


class Triangles(Regions):
    """The four triangles between an image's diagonals: their pixels do not fill their boxes."""

    kind: str = "triangles"

    def of_image(self, height, width, data=None):
        y, x = np.mgrid[:height, :width]
        region_map = 2 * (y * width > x * height) + (y * width + x * height > height * width)
        return MapRegions(region_map.astype(np.int32))


class Shades(MappedRegions):
    """Connected patches of like brightness."""

    kind: str = "shades"
    shades: int = 4

    def segment(self, image):
        return connect((image.mean(axis=2) * self.shades / 256).astype(np.int32), 200)

    def expected_regions(self, height, width):
        return 2 * self.shades


class Crosses(SparseRegions):
    """Squares that are kept two pixels further apart than they are wide."""

    kind: str = "crosses"
    radius: Radius = 1
    distinguishing_keys: ClassVar[tuple[str, ...]] = ("radius",)

    @property
    def reach(self):
        return self.radius

    @property
    def apart(self):
        return 2 * self.radius + 2

    def region_scores(self, scores_HW):
        return scores_HW


CASES = {
    "Triangles": ({}, {"start": 4, "per_cycle": 4, "amount": 8}),
    "Shades": ({"shades": 5}, {"start": 0.1, "per_cycle": 0.1, "amount": 0.2}),
    "Crosses": ({"per_image": 5}, {"start": 10, "per_cycle": 10, "amount": 20}),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("own")
    write_synthetic(str(root / "data"), num_images=8, seed=0)
    return root


def configure(root, name, **score):
    settings, budget = CASES[name]
    values = {
        "data": {"root": str(root / "data"), "dataset": "synthetic", "image_size": [48, 64]},
        "regions": {"kind": f"{__name__}:{name}", **settings},
        "model": {"name": "helpers.networks:plain"},
        "train": {"steps": 4, "batch_size": 2},
        "scoring": {"workers": 0, **score},
        "budget": budget,
        "report": {"num_images": 1},
        "cluster": {"host": "process"},
    }
    return parse_config(values, source="test")


@pytest.mark.parametrize("name", CASES)
def test_a_run_over_regions_of_ones_own(cluster, root, name):
    run_dir = create_run(configure(root, name), str(root / name))
    assert run_loop(run_dir).kind == "finished"
    assert verify(run_dir)["labelled_regions"] > 0
    write_report(run_dir, [1] * 6)
    other = create_run(configure(root, name, shard_size=2, workers=1), str(root / f"{name}-ray"))
    assert run_loop(other).kind == "finished"
    assert queries(other) == queries(run_dir)
