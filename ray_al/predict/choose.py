"""Choose the model of a run that is taken away: the final one, or that of a cycle."""

import functools
import logging
from dataclasses import dataclass
from shlex import quote

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.model import WEIGHTS
from ray_al.core.places import before_work
from ray_al.core.reading import read_digest
from ray_al.core.run_dir import MODEL
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.ledger import Journal, State, fold
from ray_al.ledger.config import read_config
from ray_al.ledger.records import CycleTrained
from ray_al.report.metrics import FinalResult, missing_labels, read_result

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TakenModel:
    """A trained model of a run, with all that is needed to use it.

    Attributes:
        run_uri: path or URI of the run directory.
        origin: `final`, or `cycle 3`.
        weights: the file of the checkpoint.
        config_json: configuration of the run, with the recipe by which this model was trained and
            evaluated, as JSON.
        class_names: present names of the classes that the model knows, by id.
        colors: red, green and blue of each class.
        miou: of the validation images; None if no image has a mask.
    """

    run_uri: str
    origin: str
    weights: FileRef
    config_json: str
    class_names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    miou: float | None

    @functools.cached_property
    def config(self) -> RunConfig:
        """The configuration of `config_json`."""
        return RunConfig.model_validate_json(self.config_json)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width at which the network sees images."""
        return self.config.data.image_size

    def read_weights(self) -> bytes:
        """Return the checkpoint's file.

        Raises:
            StorageError: it is missing, or differs from what was recorded.
        """
        return Storage(self.run_uri).read_ref(self.weights)


def choose_model(run_uri: str, cycle: int | None = None) -> TakenModel:
    """Return the model of a cycle; by default the final model, or else that of the last cycle.

    If there are several models (an ensemble, snapshots, `final.repeats`), it is the first of them,
    as its weights alone are those that the curve of the run or `final` measured.

    Raises:
        ConfigError: nothing is trained yet, there is no such cycle, its weights are not kept or
            have changed, the pretrained weights of a frozen backbone are missing or have changed,
            or the run does not say what its classes are.
    """
    storage = Storage(run_uri)
    events = Journal(storage).events
    config, state = read_config(storage, events), fold(events)
    if not state.created.colors:
        raise ConfigError(
            f"{run_uri}: an earlier version made this run and recorded no class colours; make the "
            "run anew to use its model"
        )
    model = _final(storage, config, state) if cycle is None else None
    if model is None:
        model = _of_cycle(storage, config, state, cycle)
    if not storage.exists(model.weights.path):
        raise _not_kept(storage, state, model)
    with before_work():
        model.read_weights()
    _check_backbone(model, state)
    return model


def _final(storage: Storage, config: RunConfig, state: State) -> TakenModel | None:
    result = read_result(storage, "final")
    if result is None or MODEL not in result.files:
        return None
    if missing := missing_labels(result, state.labelled_regions):
        logger.warning(
            "%s: the final model was trained on %s; run `ray-al final` again, or give --cycle %d",
            storage.root,
            missing,
            state.cycles[-1].cycle if state.cycles else 0,
        )
    return _taken(
        storage,
        state,
        origin="final",
        weights=result.files[MODEL],
        num_classes=_num_final_classes(result, state),
        config=config.with_recipe(result.recipe or config.final.recipe),
        miou=result.metrics["val"].miou if result.mious else None,
    )


def _num_final_classes(result: FinalResult, state: State) -> int:
    """Return how many classes a final model knows.

    The result says it if the run was extended before; those that earlier versions wrote do not.
    """
    if "val" in result.metrics:
        return len(result.metrics["val"].iou)
    if result.num_classes is not None:
        return result.num_classes
    return len(state.created.class_names) - sum(
        len(record.added_classes) for record in state.extensions
    )


def _of_cycle(storage: Storage, config: RunConfig, state: State, cycle: int | None) -> TakenModel:
    if state.last_trained is None:
        raise ConfigError(
            f"{storage.root}: no model is trained yet; let the run train its first "
            f"(`ray-al resume {quote(storage.root)}`)"
        )
    trained = state.last_trained if cycle is None else state.trained.get(cycle)
    if trained is None or trained.cycle < 0:
        known = ", ".join(str(model.cycle) for model in state.cycles)
        raise ConfigError(f"--cycle {cycle}: no model of that cycle; trained cycles are {known}")
    return _taken(
        storage,
        state,
        origin=f"cycle {trained.cycle}",
        weights=trained.model,
        num_classes=len(trained.class_pixels),
        config=config,
        miou=_miou(trained),
    )


def _miou(trained: CycleTrained) -> float | None:
    metrics = trained.metrics.get("val")
    return metrics.miou if metrics else None


def _taken(
    storage: Storage,
    state: State,
    *,
    origin: str,
    weights: FileRef,
    num_classes: int,
    config: RunConfig,
    miou: float | None,
) -> TakenModel:
    colors = tuple((red, green, blue) for red, green, blue in state.created.colors)
    return TakenModel(
        run_uri=storage.root,
        origin=origin,
        weights=weights,
        config_json=config.model_dump_json(),
        class_names=state.created.class_names[:num_classes],
        colors=colors[:num_classes],
        miou=miou,
    )


def _not_kept(storage: Storage, state: State, model: TakenModel) -> ConfigError:
    kept = [str(trained.cycle) for trained in state.cycles if storage.exists(trained.model.path)]
    remedy = f"give --cycle {' or '.join(kept)}" if kept else "train one with `ray-al final`"
    number = model.config.cluster.keep_checkpoints
    by_rule = {"final", *(f"cycle {trained.cycle}" for trained in state.cycles[-number:])}
    if model.origin in by_rule:
        return ConfigError(
            f"{storage.uri(model.weights.path)}: the file is missing; restore it from a copy, or "
            f"{remedy}"
        )
    return ConfigError(
        f"{storage.uri(model.weights.path)}: the weights of {model.origin} are not kept "
        f"(cluster.keep_checkpoints={number}); {remedy}"
    )


def _check_backbone(model: TakenModel, state: State) -> None:
    """Refuse a file of pretrained weights that is missing or changed; checkpoints lack its part."""
    settings, known = model.config.model, state.created.weights_sha256
    if not settings.is_frozen or settings.weights in WEIGHTS:
        return
    key = "model.weights"
    if known is not None and read_digest(settings.weights, key=key) != known:
        raise ConfigError(
            f"{key} {settings.weights!r}: not the file with which the run began, and the frozen "
            "backbone has its weights from it; put that file back, or give its new place with "
            f"`ray-al resume {quote(model.run_uri)} --set model.weights=FILE`"
        )
