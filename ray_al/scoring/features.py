"""The work `features`: mean features and class probabilities of candidate regions."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import torch

from ray_al.core.config import RunConfig
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef
from ray_al.scoring.batches import map_batches
from ray_al.scoring.inputs import Inputs
from ray_al.scoring.poolers import open_pooler, placed_boxes
from ray_al.scoring.pooling import BoxPooler
from ray_al.scoring.readers import open_reader, score_device
from ray_al.scoring.region_scores import scorer_classes
from ray_al.scoring.scorer import FeatureScorer
from ray_al.scoring.shards import ShardImage, ShardTask, regions_of

GROUPS = b"groups"
"""Key of a feature part's metadata: sizes of the groups in which its features lie, int64."""


def feature_schema(num_features: int, num_classes: int, groups: Sequence[int] = ()) -> pa.Schema:
    """Return the schema of a feature part: the region, its mean features and class probabilities.

    The metadata holds the sizes of the groups of features, if there are any.
    """
    schema = pa.schema(
        [
            ("image_index", pa.int64()),
            ("image_id", pa.string()),
            ("region", pa.int32()),
            ("feature", pa.list_(pa.float32(), num_features)),
            ("probability", pa.list_(pa.float32(), num_classes)),
        ]
    )
    return (
        schema.with_metadata({GROUPS: np.array(groups, dtype="<i8").tobytes()})
        if groups
        else schema
    )


def groups_of(schema: pa.Schema) -> tuple[int, ...]:
    """Return the sizes of groups from a part's schema; empty if its features are of one kind."""
    return tuple(np.frombuffer((schema.metadata or {}).get(GROUPS, b""), dtype="<i8").tolist())


def feature_table(
    task: ShardTask, config: RunConfig, images: Sequence[ShardImage]
) -> tuple[pa.Table, list[tuple[str, str]]]:
    """Return one row per wanted region, and (image_id, error) of broken images."""
    scorer = load_feature_scorer(task.run_uri, task.weights, config.model_dump_json(), task.cycle)

    reader = open_reader(task, config, scorer.form)

    def work(
        members: list[ShardImage], inputs: Inputs
    ) -> list[tuple[ShardImage, np.ndarray, np.ndarray]]:
        probability_NCHW, feature_NDHW = scorer.feature_maps(inputs)
        means = [_mean(task, config, image) for image in members]
        return [
            (image, mean(feature_NDHW[n]), mean(probability_NCHW[n]))
            for n, (image, mean) in enumerate(zip(members, means, strict=True))
        ]

    broken: list[tuple[str, str]] = []
    kept, features, probabilities = [], [], []
    for results, errors in map_batches(
        images, reader, scorer.batch_size, scorer.worker_threads, work
    ):
        broken += errors
        for image, feature, probability in results:
            kept.append(image)
            features.append(feature)
            probabilities.append(probability)
    if not kept:
        return feature_schema(1, 1).empty_table(), broken
    return _table(kept, features, probabilities, scorer.groups), broken


def _table(
    kept: Sequence[ShardImage],
    features: Sequence[np.ndarray],
    probabilities: Sequence[np.ndarray],
    groups: tuple[int, ...],
) -> pa.Table:
    """Return `feature_schema` of the images' regions, from their means."""
    lengths = [len(image.rest) for image in kept]
    flat = (
        np.concatenate(features).astype(np.float32),
        np.concatenate(probabilities).astype(np.float32),
    )
    columns = [
        pa.array(np.repeat([image.row["image_index"] for image in kept], lengths), pa.int64()),
        pa.array(
            np.repeat(np.array([image.row["image_id"] for image in kept], dtype=object), lengths),
            pa.string(),
        ),
        pa.array(np.concatenate([image.rest for image in kept]), pa.int32()),
        *(
            pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
            for values in flat
        ),
    ]
    schema = feature_schema(flat[0].shape[1], flat[1].shape[1], groups)
    return pa.table(columns, schema=schema)


def _mean(
    task: ShardTask, config: RunConfig, image: ShardImage
) -> Callable[[torch.Tensor], np.ndarray]:
    """Return a function that pools (K, h, w) to means of the wanted regions, float32 (R, K)."""
    regions = regions_of(task, config, image)
    if config.regions.is_sparse:
        boxes, tile = regions.boxes_of(image.rest), image.tile
        pooler = (
            BoxPooler(boxes, *image.size)
            if tile is None
            else placed_boxes(boxes, (*tile.window, tile.inner.top, tile.inner.left))
        )
        return lambda values: np.asarray(pooler.mean(values))
    whole = open_pooler(config.regions, regions, *image.size, image.tile)
    return lambda values: np.asarray(whole.mean(values))[image.rest]


@functools.lru_cache(maxsize=1)
def load_feature_scorer(
    run_uri: str, weights: tuple[FileRef, ...], config_json: str, cycle: int
) -> FeatureScorer:
    """Return the scorer of features of the first model, cached."""
    config = RunConfig.model_validate_json(config_json)
    state = Storage(run_uri).read_ref(weights[0])
    return FeatureScorer(
        config,
        config.strategy_at(cycle),
        scorer_classes(config),
        [state],
        cycle=cycle,
        device=score_device(config),
    )
