"""An elastic group loses the node on which Ray counts free resources.

A file of its own: the cluster must be this process's only one.
"""

import pytest
from helpers.clusters import run_script

SCRIPT = """
import sys, threading
import ray
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from ray.data._internal.cluster_autoscaler import default_autoscaling_coordinator
from ray_al.train import ray_trainer as module
from ray_al.train.trainer import open_trainer

root = sys.argv[1]
module.ELASTIC_SECONDS = 60.0
cluster = Cluster()
cluster.add_node(num_cpus=0)
nodes = [cluster.add_node(num_cpus=1, object_store_memory=150 << 20) for _ in range(2)]
ray.init(address=cluster.address, namespace="ray_al_test", log_to_driver=False)

@ray.remote(num_cpus=0)
def count_here():
    coordinator = default_autoscaling_coordinator.get_or_create_autoscaling_coordinator()
    ray.get(coordinator.__ray_ready__.remote())

doomed = nodes[1]
there = NodeAffinitySchedulingStrategy(doomed.node_id, soft=False)
ray.get(count_here.options(scheduling_strategy=there).remote())
config = make_config(workers=(1, 3), steps=3000)
parts = make_run(root, config)
trainer = open_trainer(config, root, 1)
killed = []

def kill(done, total):
    if not killed:
        killed.append(done)
        cluster.remove_node(doomed, allow_graceful=False)

result = trainer.train(make_plan(parts), progress=kill, waiting=print)
trainer.close()
print("TRAINED", result.num_steps, bool(killed))
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.slow
@pytest.mark.timeout(560)
def test_an_elastic_group_outlives_the_node_that_counts_for_it(tmp_path):
    waits = {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "20"}
    assert "TRAINED 3000 True" in run_script(SCRIPT, tmp_path, timeout=540, **waits)
