"""The work `scores`: one row per region that may still be chosen."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from torch.nn import functional

from ray_al.acquisition import Acquisition, class_maps, find_acquisition
from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.families.regions import ImageRegions
from ray_al.core.seeding import generator, seed_of, uniform_of
from ray_al.core.storage import Storage
from ray_al.core.types import SCORE_SCHEMA, FileRef
from ray_al.core.variants import Offer, ScoredImage
from ray_al.datasets.catalog import data_root
from ray_al.datasets.class_table import open_class_table
from ray_al.regions.sparse import SparseRegions, check_finite
from ray_al.scoring.batches import map_batches
from ray_al.scoring.inputs import Inputs
from ray_al.scoring.outline import outline_lengths
from ray_al.scoring.poolers import in_native, nearest_in_native, open_pooler
from ray_al.scoring.readers import open_reader, score_device
from ray_al.scoring.scorer import Maps, Scorer
from ray_al.scoring.shards import CLASS_COUNTS, SCHEMA_METADATA, ShardImage, ShardTask, regions_of

Columns = dict[str, np.ndarray]

RANDOM_SCORES = "random scores"
"""Purpose of the random strategy's draws; replay makes them again from the names of regions."""


def score_table(
    task: ShardTask, config: RunConfig, images: Sequence[ShardImage]
) -> tuple[pa.Table, list[tuple[str, str]]]:
    """Return the scores of a shard's regions, and (image_id, error) of broken images.

    Columns are SCORE_SCHEMA and those that the strategy adds: `dominant` and `class_scores` for the
    function, `covers` for the batch rule, `outline` for the time of labels. The metadata
    holds the sums of class probabilities over the shard's pixels, if the function looks at classes,
    and the number of pixels predicted as each class, if the batch rule does.
    """
    strategy = config.strategy_at(task.cycle)
    function = find_acquisition(strategy.acquisition)
    if not function.needs_model:
        rows = [_random_columns(task, config, image) for image in images]
        return _table(images, rows, score_schema(function, _Sums())), []
    scorer = load_scorer(
        task.run_uri, task.weights, config.model_dump_json(), task.cycle, task.seed
    )

    reader = open_reader(task, config, scorer.form, scorer.transforms)

    num_classes = scorer.num_classes

    def work(members: list[ShardImage], inputs: Inputs) -> list[tuple[ShardImage, Columns, _Sums]]:
        maps = scorer.maps(inputs)
        columns = [
            region_columns(maps, n, image, scorer, regions_of(task, config, image))
            for n, image in enumerate(members)
        ]
        return list(zip(members, columns, _sums(maps, members, num_classes), strict=True))

    broken: list[tuple[str, str]] = []
    kept, rows = [], []
    total = _Sums(
        probabilities=np.zeros(num_classes) if function.attribution != "none" else None,
        classes=np.zeros(num_classes, dtype=np.int64) if strategy.batch.reads_covers else None,
    )
    for results, errors in map_batches(
        images, reader, scorer.batch_size, scorer.worker_threads, work
    ):
        broken += errors
        for image, columns, sums in results:
            kept.append(image)
            rows.append(columns)
            total.add(sums)
    schema = score_schema(function, total, outlines=strategy.label_time is not None)
    return _table(kept, rows, schema), broken


@dataclass(frozen=True, kw_only=True)
class _Sums:
    """Sums over the pixels of scored maps; None if not needed.

    Attributes:
        probabilities: mean class probabilities, float64 (C,), summed over images.
        classes: number of pixels predicted as each class, int64 (C,).
    """

    probabilities: np.ndarray | None = None
    classes: np.ndarray | None = None

    def add(self, other: "_Sums") -> None:
        """Add the sums of further maps, in place."""
        for total, one in (
            (self.probabilities, other.probabilities),
            (self.classes, other.classes),
        ):
            if total is not None and one is not None:
                total += one


def _sums(maps: Maps, members: Sequence[ShardImage], num_classes: int) -> list[_Sums]:
    """Return the sums of each image of a batch; of a tile, those of its core."""
    tiles = [image.tile for image in members]
    if not any(tiles):
        return _sums_of(maps, len(members), num_classes)
    sums = []
    for n, tile in enumerate(tiles):
        assert tile is not None, "a pool holds whole images or tiles"
        rows, columns = tile.cells(*maps.values.shape[-2:])
        core = Maps(
            maps.values[n : n + 1, rows, columns],
            None if maps.probabilities is None else maps.probabilities[n : n + 1, :, rows, columns],
            None if maps.classes is None else maps.classes[n : n + 1, rows, columns],
        )
        sums += _sums_of(core, 1, num_classes)
    return sums


def _sums_of(maps: Maps, num_images: int, num_classes: int) -> list[_Sums]:
    """Return the sums of each of the first images of a batch."""
    means = (
        None
        if maps.probabilities is None
        else maps.probabilities[:num_images].double().mean((2, 3)).numpy(force=True)
    )
    ids = None if maps.classes is None else maps.classes[:num_images].numpy(force=True)
    return [
        _Sums(
            probabilities=None if means is None else means[n],
            classes=None if ids is None else np.bincount(ids[n].ravel(), minlength=num_classes),
        )
        for n in range(num_images)
    ]


def region_columns(
    maps: Maps, position: int, image: ShardImage, scorer: Scorer, regions: ImageRegions
) -> Columns:
    """Return the values of one image's regions.

    These are the regions left; for sparse kinds, the best candidates.
    """
    settings, strategy, function = scorer.config.regions, scorer.strategy, scorer.acquisition
    values = maps.values[position].float()
    if isinstance(settings, SparseRegions):
        if strategy.offer is not None:
            return _offered(settings, strategy.offer, maps, position, image, scorer, regions)
        native = in_native(values.numpy(force=True), image)
        return _best(settings, native, image, regions, averaged=function.windowed)
    pooler = open_pooler(settings, regions, *image.size, image.tile)
    aggregation = function.aggregation if strategy.aggregation == "auto" else strategy.aggregation
    scores = pooler.pool(values, aggregation, strategy.top_share)
    columns = {
        "region": image.rest,
        "score": scores[image.rest],
        "num_pixels": pooler.num_pixels[image.rest],
    }
    if strategy.label_time is not None:
        assert maps.classes is not None, "the scorer gives them"
        shown = image.size if image.tile is None else image.tile.window
        columns["outline"] = outline_lengths(maps.classes[position], pooler, shown)[image.rest]
    if strategy.batch.reads_covers:
        assert maps.classes is not None, "the scorer gives them"
        one_hot = (
            functional.one_hot(maps.classes[position], scorer.num_classes).permute(2, 0, 1).float()
        )
        columns["covers"] = np.asarray(pooler.mean(one_hot))[image.rest]
    if maps.probabilities is None:
        return columns
    probabilities = maps.probabilities[position].float()
    if function.attribution == "dominant":
        return {
            **columns,
            "dominant": pooler.dominant(probabilities.argmax(0), len(probabilities))[image.rest],
        }
    by_class = class_maps(values[None], probabilities[None], function.attribution)[0]
    return {**columns, "class_scores": np.asarray(pooler.mean(by_class))[image.rest]}


def _offered(
    settings: SparseRegions,
    offer: Offer,
    maps: Maps,
    position: int,
    image: ShardImage,
    scorer: Scorer,
    regions: ImageRegions,
) -> Columns:
    """Return the candidates that an image of a sparse kind offers by the strategy's offer."""
    scores = in_native(maps.values[position].float().numpy(force=True), image)
    check_finite(scores)
    if not scorer.acquisition.windowed:
        scores = settings.region_scores(scores)
    classes = (
        None
        if maps.classes is None
        else nearest_in_native(maps.classes[position].numpy(force=True), image)
    )
    ids = offer.choose(
        ScoredImage(
            scores=scores,
            taken=image.taken,
            radius=settings.apart,
            limit=settings.per_image,
            rng=generator("offer", scorer.seed, scorer.cycle, image.row["image_id"]),
            classes=classes,
            features=tuple(values[position].float().numpy(force=True) for values in maps.features),
        )
    )
    return {
        "region": ids,
        "score": scores.ravel()[ids],
        "num_pixels": box_pixels(regions.boxes_of(ids)),
    }


def _best(
    settings: SparseRegions,
    values_HW: np.ndarray,
    image: ShardImage,
    regions: ImageRegions,
    *,
    averaged: bool = False,
) -> Columns:
    """Return the candidates of a sparse kind with the highest scores.

    Args:
        averaged: whether the values already are those of regions.
    """
    ids, scores = settings.best(values_HW, *image.size, taken=image.taken, averaged=averaged)
    return {"region": ids, "score": scores, "num_pixels": box_pixels(regions.boxes_of(ids))}


def box_pixels(boxes: np.ndarray) -> np.ndarray:
    """Return the number of pixels of boxes (R, 4), int64 (R,)."""
    sides = boxes[:, 2:].astype(np.int64) - boxes[:, :2]
    areas: np.ndarray = sides[:, 0] * sides[:, 1]
    return areas


def _random_columns(task: ShardTask, config: RunConfig, image: ShardImage) -> Columns:
    settings, regions = config.regions, regions_of(task, config, image)
    height, width = image.size
    numbers = np.arange(height * width) if settings.is_sparse else image.rest
    scores = uniform_of(
        seed_of(RANDOM_SCORES, task.seed, task.cycle, image.row["image_id"]), numbers
    ).astype(np.float32)
    if isinstance(settings, SparseRegions):
        # Means of noise over windows would favour windows clipped by the border: means of fewer
        # values vary more.
        return _best(settings, scores.reshape(height, width), image, regions, averaged=True)
    return {"region": image.rest, "score": scores, "num_pixels": regions.num_pixels[image.rest]}


def _table(images: Sequence[ShardImage], rows: Sequence[Columns], schema: pa.Schema) -> pa.Table:
    if not rows:
        return schema.empty_table()
    lengths = [len(row["region"]) for row in rows]
    names = pa.array([image.row["image_id"] for image in images], pa.string())
    indices = [image.row["image_index"] for image in images]
    columns: Columns = {"image_index": np.repeat(indices, lengths)}
    for name in rows[0]:
        columns[name] = np.concatenate([row[name] for row in rows])
    arrays = [_array(columns[field.name], field.type) for field in schema if field.name in columns]
    arrays.insert(
        schema.get_field_index("image_id"),
        names.take(pa.array(np.repeat(np.arange(len(images)), lengths))),
    )
    return pa.table(arrays, schema=schema)


def _array(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values, type=kind)
    return pa.FixedSizeListArray.from_arrays(
        pa.array(values.astype(np.float32).ravel()), values.shape[1]
    )


def score_schema(function: Acquisition, sums: _Sums, *, outlines: bool = False) -> pa.Schema:
    """Return SCORE_SCHEMA with the columns and metadata that the function and the sums add.

    Args:
        outlines: whether the lengths of predicted outlines are added.
    """
    schema, metadata = SCORE_SCHEMA, {}
    if function.attribution == "dominant":
        schema = schema.append(pa.field("dominant", pa.int16()))
    elif function.attribution != "none" and sums.probabilities is not None:
        schema = schema.append(
            pa.field("class_scores", pa.list_(pa.float32(), len(sums.probabilities)))
        )
    if sums.probabilities is not None:
        metadata[SCHEMA_METADATA] = sums.probabilities.astype("<f8").tobytes()
    if sums.classes is not None:
        schema = schema.append(pa.field("covers", pa.list_(pa.float32(), len(sums.classes))))
        metadata[CLASS_COUNTS] = sums.classes.astype("<i8").tobytes()
    if outlines:
        schema = schema.append(pa.field("outline", pa.float32()))
    return schema.with_metadata(metadata) if metadata else schema


def scorer_classes(config: RunConfig) -> int:
    """Return the number of classes of the run's dataset.

    It is read anew, because files of the data set may name its classes, and a run be extended.
    """
    return len(open_class_table(config.data, data_root(config.data)).class_names)


@functools.lru_cache(maxsize=1)
def load_scorer(
    run_uri: str, weights: tuple[FileRef, ...], config_json: str, cycle: int, seed: int
) -> Scorer:
    """Return the scorer of a cycle, cached by the digests of its weights.

    Idle Ray workers serve many shards and cycles.
    """
    config = RunConfig.model_validate_json(config_json)
    if not weights:
        raise ConfigError(
            f"strategy.acquisition={config.strategy_at(cycle).acquisition!r}: cycle {cycle} has no "
            "model; use a start rule without one"
        )
    storage = Storage(run_uri)
    states = [storage.read_ref(ref) for ref in weights]
    return Scorer(
        config,
        config.strategy_at(cycle),
        scorer_classes(config),
        states,
        seed=seed,
        cycle=cycle,
        device=score_device(config),
    )
