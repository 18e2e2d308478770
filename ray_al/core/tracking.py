"""The `tracking` section of the configuration: where curves are shown elsewhere."""

from typing import Annotated, Literal

from pydantic import Field

from ray_al.core.section import Section


class MlflowConfig(Section):
    tracking_uri: Annotated[str, Field(min_length=1)] | None = None
    """A server's or a database's URI; default: `mlflow.db` (SQLite) in the run's or sweep's directory."""
    experiment: Annotated[str, Field(min_length=1)] = "ray_al"


class WandbConfig(Section):
    project: Annotated[str, Field(min_length=1)] = "ray_al"
    mode: Literal["offline", "online"] = "offline"


class TrackingConfig(Section):
    """Where curves are shown elsewhere, cycle by cycle."""

    tensorboard: bool = False
    mlflow: MlflowConfig | None = None
    wandb: WandbConfig | None = None
