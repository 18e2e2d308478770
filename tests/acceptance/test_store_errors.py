"""A cluster whose nodes have no credentials for the store that the caller writes to."""

import os
import subprocess

import pytest
from helpers.servers import FakeStore, lead_to, running

pytestmark = pytest.mark.slow


def test_a_driver_without_credentials_says_so_in_one_line(place, monkeypatch):
    with running(FakeStore()) as server:
        lead_to(server.url, monkeypatch)
        names = (
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_ENDPOINT_URL",
            "AWS_DEFAULT_REGION",
            "AWS_REQUEST_CHECKSUM_CALCULATION",
        )
        env = {
            **place.env,
            **{name: os.environ[name] for name in names},
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        command = place.command("run", place.folder / "c.yaml", "--out", "s3://bucket/runs/none")
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "no usable credentials" in done.stderr.strip().splitlines()[-1]
    assert "every node needs them" in done.stderr
