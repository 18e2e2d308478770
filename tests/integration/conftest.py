import pytest
from helpers.paths import python_path

from ray_al.datasets.synthetic import write_synthetic


@pytest.fixture(scope="session")
def cluster():
    """A local cluster whose workers can import the tests' models."""
    import ray

    runtime_env = {"env_vars": {"PYTHONPATH": python_path()}}
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


@pytest.fixture
def root(tmp_path):
    """A folder with eight synthetic scenes under `data`."""
    write_synthetic(str(tmp_path / "data"), num_images=8, seed=0)
    return tmp_path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The folder of eight synthetic scenes, which all tests of a module share."""
    root = str(tmp_path_factory.mktemp("synthetic") / "data")
    write_synthetic(root, num_images=8, seed=0)
    return root
