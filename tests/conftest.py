import gc
import os
import secrets

import pytest
from helpers import own_variants

# Every user who has started Ray before has a token, and every cluster asks for it.
os.environ.pop("RAY_AUTH_MODE", None)
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")  # tests talk to loopback alone


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--own",
        action="append",
        default=[],
        metavar="SETTING=MODULE:CLASS",
        help="test a variant of your own too, for example regions=mine.triangles:Triangles",
    )


def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # importing all tests makes no garbage worth the time
    try:
        own_variants.take(config.getoption("own"))
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_collection_finish() -> None:
    """Let the garbage collector begin, and leave out what was imported for the tests."""
    gc.freeze()
    gc.enable()


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a shard of stored features hold three images."""
    monkeypatch.setattr("ray_al.features.shards.SHARD", 3)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of a data set of seven scenes, which no test changes."""
    from ray_al.datasets.synthetic import write_synthetic  # only the tests that ask for scenes wait

    root = str(tmp_path_factory.mktemp("scenes") / "data")
    write_synthetic(root, num_images=7, seed=0)
    return root
