import copy
from pathlib import Path

import pytest
import yaml

from ray_al.core.config import load_config
from ray_al.sweep.config import load_sweep
from ray_al.sweep.plan import fixed_settings

ROOT = Path(__file__).parents[2]


SWEEPS = sorted(ROOT.glob("jobs/sweep_*.yaml"))


@pytest.mark.parametrize("path", sorted(set(ROOT.glob("jobs/**/*.yaml")) - set(SWEEPS)), ids=lambda path: path.stem)
def test_every_job_file_is_a_configuration(path):
    assert load_config(str(path)).name in (path.stem, f"equal_{path.stem}")


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_sweep_file_gives_settings(path):
    sweep = load_sweep(str(path))
    assert sweep.name == path.stem
    assert len(fixed_settings(sweep)) > 2


def test_the_packaged_demo_is_the_job_file():
    assert (ROOT / "ray_al" / "demo.yaml").read_text() == (ROOT / "jobs" / "demo.yaml").read_text()


@pytest.fixture
def prepare():
    util = pytest.importorskip("ray.autoscaler._private.util")
    return lambda values: util.validate_config(util.prepare_config(copy.deepcopy(values)))


def test_cluster_yaml_passes_rays_schema(prepare):
    values = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    prepare(values)
    assert values["available_node_types"]["score"]["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    del values["available_node_types"]["train"]["resources"]
    values["avilable"] = 1
    with pytest.raises(Exception, match="avilable|resources"):
        prepare(values)
