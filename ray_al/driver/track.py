"""Curves of single runs in TensorBoard, MLflow and Weights & Biases; a sweep's go there through Tune's own callbacks."""

import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError, StorageError
from ray_al.core.notes import read_note
from ray_al.core.storage import Storage
from ray_al.ledger import State
from ray_al.report.build import curve_rows
from ray_al.report.curve import MEASURED_COLUMNS

logger = logging.getLogger(__name__)
NAME = "tracking.json"
SERVICES = ("tensorboard", "mlflow", "wandb")
Log = Callable[[int, Mapping[str, float]], None]


def check_tracking(config: RunConfig) -> None:
    """Whether what `tracking` asks for is installed.

    Raises:
        ConfigError: naming the package.
    """
    import importlib.util

    tracking = config.tracking
    for asked, package in ((tracking.tensorboard, "tensorboardX"), (tracking.mlflow, "mlflow"), (tracking.wandb, "wandb")):
        if asked and importlib.util.find_spec(package) is None:
            raise ConfigError(f"tracking needs the package {package}, which is not installed; pip install {package}")


class Tracker:
    """Logs every cycle once, whatever the number of hosts that a run has had: what was told stands in `tracking.json`.

    A service that does not answer is logged and left out: a curve that cannot be shown elsewhere is no reason to stop a run.
    """

    def __init__(self, storage: Storage, config: RunConfig) -> None:
        self.storage, self.config = storage, config
        kept = read_note(storage, NAME)
        self.memory: dict[str, dict[str, Any]] = {name: kept[name] for name in SERVICES if _is_memory(kept.get(name))}

    def __call__(self, state: State, *, left_out: int | None = None) -> None:
        """Log what is new.

        Args:
            left_out: a cycle whose models are still to be measured, and which is logged with them.
        """
        tracking = self.config.tracking
        openers = {"tensorboard": tracking.tensorboard, "mlflow": tracking.mlflow, "wandb": tracking.wandb}
        for name in (name for name, asked in openers.items() if asked):
            rows = [row for row in curve_rows(state) if row["cycle"] != left_out]
            if news := list(_news(rows, self.memory.get(name, {}))):
                self._tell(name, news)

    def _tell(self, name: str, rows: list[dict[str, Any]]) -> None:
        memory = self.memory.setdefault(name, {})
        try:
            for row in rows:
                numbers = {key: float(value) for key, value in row.items() if isinstance(value, int | float)}
                getattr(self, f"_{name}")(row["cycle"], numbers, memory)
                memory["told"] = max(row["cycle"], memory.get("told", -1))
                if "final_miou" in numbers:
                    memory["measured"] = row["cycle"]
        except Exception as error:  # any of many kinds, by service and network
            logger.warning("tracking.%s: cycle %s was not logged: %s", name, rows[0]["cycle"], error)
        try:
            self.storage.replace(NAME, json.dumps(self.memory).encode())
        except (StorageError, OSError) as error:
            logger.warning("%s: not written; what was logged may be logged again: %s", self.storage.uri(NAME), error)

    def _tensorboard(self, step: int, numbers: Mapping[str, float], memory: dict[str, Any]) -> None:
        from tensorboardX import SummaryWriter

        # The file is named by the second: without a suffix, a cycle within the same second would replace the one before.
        with SummaryWriter(self.storage.uri("tensorboard"), filename_suffix=f".{step}") as writer:
            for key, value in numbers.items():
                writer.add_scalar(key, value, step)

    def _mlflow(self, step: int, numbers: Mapping[str, float], memory: dict[str, Any]) -> None:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # seven, and minutes, for every cycle otherwise
        from mlflow import MlflowClient
        from mlflow.entities import Metric

        settings = self.config.tracking.mlflow
        assert settings is not None
        client = MlflowClient(settings.tracking_uri or default_tracking_uri(self.storage))
        if "run_id" not in memory:
            experiment = client.get_experiment_by_name(settings.experiment)
            experiment_id = experiment.experiment_id if experiment else client.create_experiment(settings.experiment)
            memory["run_id"] = client.create_run(experiment_id, run_name=self.config.name).info.run_id
            for key, value in flat_settings(self.config).items():
                client.log_param(memory["run_id"], key, value)
        now = int(time.time() * 1000)
        client.log_batch(memory["run_id"], metrics=[Metric(key, value, now, step) for key, value in numbers.items()])

    def _wandb(self, step: int, numbers: Mapping[str, float], memory: dict[str, Any]) -> None:
        import wandb

        settings = self.config.tracking.wandb
        assert settings is not None
        memory.setdefault("run_id", uuid.uuid4().hex[:8])
        run = wandb.init(
            project=settings.project,
            mode=settings.mode,
            id=memory["run_id"],
            name=self.config.name,
            resume="allow",
            dir=self.storage.root,
            config=flat_settings(self.config),
            settings=wandb.Settings(silent=True),
        )
        run.log(dict(numbers), step=step)
        run.finish()


def _is_memory(kept: Any) -> bool:
    """Whether this is what one service was told, as `_tell` keeps it."""
    cycles = ("told", "measured")
    return isinstance(kept, dict) and all(isinstance(kept.get(key, -1), int) for key in cycles) and isinstance(kept.get("run_id", ""), str)


def _news(rows: list[dict[str, Any]], memory: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows that a service was not told, and of the others what was measured since: the last cycle's models may be measured late."""
    for row in rows:
        if row["cycle"] > memory.get("told", -1):
            yield row
        elif row["final_miou"] is not None and row["cycle"] > memory.get("measured", -1):
            yield {key: row[key] for key in ("cycle", *MEASURED_COLUMNS)}


def default_tracking_uri(storage: Storage) -> str:
    """An SQLite file in the run's or sweep's directory: MLflow has given up its plain folders."""
    return f"sqlite:///{storage.uri('mlflow.db')}"


def flat_settings(config: RunConfig) -> dict[str, Any]:
    """The configuration with dotted keys, for services that filter by settings."""

    def flat(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in values.items():
            found.update(flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value})
        return found

    return flat(config.model_dump(mode="json", exclude={"tracking"}), "")
