import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS / "unit"))
PYTHONPATH = os.pathsep.join(
    [str(TESTS / "unit"), str(TESTS / "integration"), *filter(None, sys.path)]
)


@pytest.fixture(scope="session")
def cluster():
    """A local cluster whose workers can import the tests' models."""
    import ray

    runtime_env = {"env_vars": {"PYTHONPATH": PYTHONPATH}}
    ray.init(
        address="local",
        num_cpus=4,
        num_gpus=2,
        include_dashboard=True,
        namespace="ray_al_test",
        log_to_driver=False,
        runtime_env=runtime_env,
    )
    yield ray
    ray.shutdown()
