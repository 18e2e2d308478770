"""Curves in MLflow."""

import os
import time
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ray_al.core.families.trackers import TrackedRun, Tracker
from ray_al.core.storage import Storage


class MlflowTracker(Tracker):
    """A run of an MLflow experiment."""

    kind: Literal["mlflow"] = "mlflow"
    tracking_uri: Annotated[str, Field(min_length=1)] | None = None
    """A server's or a database's URI; default: `mlflow.db` in the run's or sweep's directory."""
    experiment: Annotated[str, Field(min_length=1)] = "ray_al"
    """Name of the MLflow experiment to which the run belongs."""

    package: ClassVar[str | None] = "mlflow"

    def tell(
        self, run: TrackedRun, step: int, numbers: Mapping[str, float], memory: dict[str, Any]
    ) -> None:
        """See `Tracker.tell`."""
        # By default it tries seven times, which takes minutes for every cycle.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        from mlflow import MlflowClient  # optional, and it reads the variable
        from mlflow.entities import Metric

        client = MlflowClient(self._uri(run.storage))
        if "run_id" not in memory:
            found = client.get_experiment_by_name(self.experiment)
            experiment = found.experiment_id if found else client.create_experiment(self.experiment)
            memory["run_id"] = client.create_run(experiment, run_name=run.name).info.run_id
            for key, value in run.settings.items():
                client.log_param(memory["run_id"], key, value)
        now = int(time.time() * 1000)
        metrics = [Metric(key, value, now, step) for key, value in numbers.items()]
        client.log_batch(memory["run_id"], metrics=metrics)

    def for_sweep(self, storage: Storage, name: str) -> Any:
        """See `Tracker.for_sweep`."""
        from ray.air.integrations.mlflow import MLflowLoggerCallback  # optional, and it takes Ray

        return MLflowLoggerCallback(
            tracking_uri=self._uri(storage), experiment_name=self.experiment, tags={"sweep": name}
        )

    def _uri(self, storage: Storage) -> str:
        """Return the server; by default an SQLite file, as MLflow has deprecated plain folders."""
        return self.tracking_uri or f"sqlite:///{storage.uri('mlflow.db')}"
