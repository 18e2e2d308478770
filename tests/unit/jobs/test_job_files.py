import copy
from pathlib import Path

import jsonschema
import pytest
import yaml
from helpers.paths import ROOT

from ray_al.core.config import load_config
from ray_al.driver.fork import start_config
from ray_al.sweep.config import load_sweep
from ray_al.sweep.endpoint import check_endpoint
from ray_al.sweep.naming import group_names
from ray_al.sweep.plan import make_trial
from ray_al.sweep.settings import fixed_settings, make_config
from ray_al.sweep.trials import start_digest

SWEEPS = sorted(ROOT.glob("jobs/sweep_*.yaml"))
STARTS = sorted(ROOT.glob("jobs/saved/*_starts.yaml"))
SAVED = sorted(set(ROOT.glob("jobs/saved/*.yaml")) - {*STARTS})
RESULTS = set(ROOT.glob("jobs/results/**/*.yaml"))
RUNS = sorted(set(ROOT.glob("jobs/**/*.yaml")) - {*SWEEPS, *SAVED, *STARTS} - RESULTS)


def saved_sweep(path):
    """Check a sweep and its endpoint; return the configuration and the name of each setting."""
    sweep = load_sweep(str(path))
    assert sweep.name == path.stem
    settings = fixed_settings(sweep)
    configs = [make_config(sweep, setting, 10, "one") for setting in settings]
    roots = {Path(vars(config.features.store)["root"]).name for config in configs}
    assert roots == {f"features_{path.stem.split('_')[0]}"}
    names = group_names(settings)
    trials = [
        make_trial(sweep, setting, 10, index=0, group=name)
        for name, setting in zip(names, settings, strict=True)
    ]
    check_endpoint(sweep, trials)
    return configs, names


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_every_job_file_is_a_configuration(path):
    assert load_config(str(path)).name in (path.stem, f"equal_{path.stem}")


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_sweep_file_gives_settings(path):
    sweep = load_sweep(str(path))
    assert sweep.name == path.stem
    assert len(fixed_settings(sweep)) > 2


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_every_sweep_for_labels_saved_measures_all_at_the_same_budgets(path):
    """These budgets are some of those of random; features are shared, and so are starts.

    `*_start.yaml` compare starts too, so theirs differ.
    """
    configs, names = saved_sweep(path)
    starts = {start_digest(start_config(config)) for config in configs}
    assert len(starts) == (2 if path.stem.endswith("_start") else 1)
    random, *others = (set(config.final.budgets) for config in configs)
    assert all(other == others[0] for other in others)
    assert others[0] <= random
    assert names[0] == "random-topk"


@pytest.mark.parametrize("path", STARTS, ids=lambda path: path.stem)
def test_every_sweep_of_starts_measures_the_start_set_alone(path):
    configs, names = saved_sweep(path)
    assert names == ["random", "centroids", "kcenter", "typicality"]
    assert [config.budget.start_rule.kind for config in configs] == names
    for config in configs:
        assert config.final.budgets == (config.budget.start,)
        assert config.budget.amount == config.budget.start


def test_the_packaged_demo_is_the_job_file():
    assert (ROOT / "ray_al" / "demo.yaml").read_text() == (ROOT / "jobs" / "demo.yaml").read_text()


@pytest.fixture
def prepare():
    util = pytest.importorskip("ray.autoscaler._private.util")
    return lambda values: util.validate_config(util.prepare_config(copy.deepcopy(values)))


def test_cluster_yaml_passes_rays_schema(prepare):
    values = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    prepare(values)
    assert (
        values["available_node_types"]["score"]["node_config"]["InstanceMarketOptions"][
            "MarketType"
        ]
        == "spot"
    )
    del values["available_node_types"]["train"]["resources"]
    values["avilable"] = 1
    with pytest.raises(jsonschema.ValidationError, match="avilable|resources"):
        prepare(values)
