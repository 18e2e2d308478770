"""Training on two nodes of one machine.

A file of its own: the cluster must be this process's only one.
"""

import pytest
from helpers.clusters import run_script

SCRIPT = """
import sys
import ray
from ray.cluster_utils import Cluster
from ray_al.train.trainer import open_trainer

root = sys.argv[1]
cluster = Cluster()
for number in range(2):
    cluster.add_node(num_cpus=1, resources={"node": 1}, object_store_memory=150 << 20)
ray.init(address=cluster.address, namespace="ray_al_test", log_to_driver=False)
assert len(ray.nodes()) == 2
config = make_config(workers=2, batch_norm={"momentum": 0.1})
parts = make_run(root, config)
trainer = open_trainer(config, root, 1)
torch_trainer = trainer._torch_trainer
def spread(mailbox, name):
    made = torch_trainer(mailbox, name)
    made.scaling_config.resources_per_worker = {"CPU": 0.5, "node": 1}  # one worker a node
    return made
trainer._torch_trainer = spread
result = trainer.train(make_plan(parts))
trainer.close()
print("TRAINED", result.num_steps, result.metrics["val"].num_images)
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.slow
def test_two_workers_on_two_nodes(tmp_path):
    assert "TRAINED 6 4" in run_script(SCRIPT, tmp_path, timeout=280)
