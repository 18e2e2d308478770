"""What importing the package sets for the libraries that it loads."""

import os
import subprocess
import sys

import pytest

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, "None 10000"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE None"),
        ({"GOMP_SPINCOUNT": "7"}, "None 7"),
    ],
)
def test_threads_spin_for_a_short_while_unless_the_user_says_otherwise(own, expected):
    env = {key: value for key, value in os.environ.items() if key not in NAMES} | own
    code = f"import ray_al, os; print(*(os.environ.get(name) for name in {NAMES}))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        ).stdout.strip()
        == expected
    )


def test_training_workers_get_it_before_they_load_torch(monkeypatch):
    import ray
    from ray.train.v2._internal import constants

    from ray_al.train.controller import share_environment

    class Context:
        gcs_address = "10.0.0.1:6379"

        def get_actor_id(self):
            return "actor"

    monkeypatch.setattr(ray, "get_runtime_context", Context)
    monkeypatch.setattr(constants, "ENV_VARS_TO_PROPAGATE", set())
    monkeypatch.setenv("RAY_ADDRESS", "")
    share_environment()
    variables = constants.get_env_vars_to_propagate()
    own = {name: os.environ[name] for name in NAMES if name in os.environ}
    assert own
    assert variables == {**own, "RAY_ADDRESS": "10.0.0.1:6379"}
