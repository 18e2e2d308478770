"""What the tests of whole commands share."""

import socket

PORTS = (
    "port",
    "dashboard-port",
    "dashboard-agent-listen-port",
    "runtime-env-agent-port",
    "metrics-export-port",
    "ray-client-server-port",
)
CONFIG = """
name: small
data: {{dataset: synthetic, root: {root}, image_size: [32, 48]}}
regions: {{rows: 2, columns: 2}}
train: {{steps: 3, batch_size: 2, workers: 0, threads: 1}}
strategy: {{acquisition: equal, batch: {{kind: power}}}}
scoring: {{workers: 1, threads: 1, batch_size: 2, precision: fp32, shard_size: 2}}
budget: {{start: 4, per_cycle: 4, amount: 16}}
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
