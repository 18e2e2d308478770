"""What the host of a run needs from Ray Train's controller, by the callbacks and constants that Ray keeps for workarounds."""

import os
from typing import Any

from ray.train.v2._internal import constants
from ray.train.v2._internal.execution.callback import ControllerCallback


class Introduce(ControllerCallback):
    """Leaves the controller's handle in the mailbox: `fit` gives none, and a group that Ray starts no more must be ended by its host."""

    def __init__(self, mailbox: str, namespace: str) -> None:
        self.mailbox, self.namespace = mailbox, namespace

    def after_controller_start(self, train_run_context: Any) -> None:
        import ray

        ray.get_actor(self.mailbox, namespace=self.namespace).set_controller.remote(
            ray.get_runtime_context().current_actor
        )


def share_environment() -> None:
    """Have Train's processes share this one's address of the cluster, and its way of waiting for threads.

    The helper that frees the group of a dead controller asks for the machine's only cluster, and fails where there are two. It lives longer than
    its controller, so the address comes from the actor that hosts the run; a run that its caller's process hosts ends as a whole. Workers load
    torch, which reads OpenMP's setting once, before anything of this package.
    """
    import ray

    context = ray.get_runtime_context()
    if context.get_actor_id() is not None:
        os.environ["RAY_ADDRESS"] = context.gcs_address
        constants.ENV_VARS_TO_PROPAGATE.add("RAY_ADDRESS")
    constants.ENV_VARS_TO_PROPAGATE.update(("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"))
