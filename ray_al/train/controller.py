"""Access to the controller of Ray Train.

Ray has no public interface for it, so this uses callbacks and constants of its internal packages.
"""

import os
from typing import Any

import ray
from ray.train.v2._internal import constants
from ray.train.v2._internal.execution.callback import ControllerCallback


class Introduce(ControllerCallback):  # type: ignore[misc]  # Ray's packages are not type-checked
    """Puts the handle of the controller into the mailbox when the controller starts.

    `fit` does not return the handle, but the host needs it to end a group that Ray stops starting.

    Args:
        mailbox: name of the mailbox actor.
        namespace: Ray namespace of the mailbox actor.
    """

    def __init__(self, mailbox: str, namespace: str) -> None:
        self.mailbox = mailbox
        self.namespace = namespace

    def after_controller_start(self, train_run_context: Any) -> None:
        """Send the handle of this process's actor, which is the controller, to the mailbox."""
        mailbox = ray.get_actor(self.mailbox, namespace=self.namespace)
        mailbox.set_controller.remote(ray.get_runtime_context().current_actor)


def share_environment() -> None:
    """Pass the address of the cluster and OpenMP's way of waiting on to the processes of Train.

    The helper that frees the group of a dead controller connects to the only cluster of the
    machine, and fails if there are two. It outlives its controller, so the address must be that of
    the actor that hosts the run. A run that is hosted by the calling process ends with it as a
    whole and needs no address. OpenMP's settings must be in the environment, because workers import
    torch, which reads them once, before they import anything of this package.
    """
    context = ray.get_runtime_context()
    if context.get_actor_id() is not None:
        os.environ["RAY_ADDRESS"] = context.gcs_address
        constants.ENV_VARS_TO_PROPAGATE.add("RAY_ADDRESS")
    constants.ENV_VARS_TO_PROPAGATE.update(("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"))
