"""Compute pool statistics by class from score parts, for functions that weigh classes."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from ray_al.acquisition import Acquisition, ClassStats
from ray_al.acquisition.classes import final_scores
from ray_al.core.types import SCORE_SCHEMA
from ray_al.scoring.shards import CLASS_COUNTS, SCHEMA_METADATA

Read = Callable[[], pa.Table]


def predicted_shares(schemas: Iterable[pa.Schema], num_classes: int) -> np.ndarray:
    """Return the share of the pool's area for which each class is predicted, float64 (C,).

    It is read from the metadata of score parts. All images are scored at one size, so each has the
    same weight. Images whose regions are all labelled are no longer scored, and do not count.
    """
    counts = np.zeros(num_classes, dtype=np.int64)
    for schema in schemas:
        counts += np.frombuffer(
            (schema.metadata or {}).get(CLASS_COUNTS, bytes(8 * num_classes)), dtype="<i8"
        )
    shares: np.ndarray = counts / max(1, int(counts.sum()))
    return shares


def pool_stats(
    parts: Sequence[Read], function: Acquisition, num_classes: int, iou: np.ndarray
) -> ClassStats:
    """Return the statistics of the pool after one pass over the parts, in their order.

    Args:
        iou: on the validation set, float64 (num_classes,), nan for absent classes.
    """
    sums, regions, pixels = np.zeros(num_classes), np.zeros(num_classes), np.zeros(num_classes)
    low, high = np.inf, -np.inf
    for read in parts:
        part = read()
        metadata = part.schema.metadata or {}
        if SCHEMA_METADATA in metadata:
            sums += np.frombuffer(metadata[SCHEMA_METADATA], dtype="<f8")
        if not len(part):
            continue
        scores = part.column("score").to_numpy()
        low, high = min(low, float(scores.min())), max(high, float(scores.max()))
        if function.attribution == "dominant":
            dominant = part.column("dominant").to_numpy()
            regions += np.bincount(dominant, minlength=num_classes)
            pixels += np.bincount(
                dominant, weights=part.column("num_pixels").to_numpy(), minlength=num_classes
            )
    return ClassStats(
        mean_probability=sums / max(sums.sum(), 1e-12),
        dominant_regions=regions / max(regions.sum(), 1.0),
        dominant_pixels=pixels / max(pixels.sum(), 1.0),
        iou=iou,
        score_min=low,
        score_max=high,
    )


def final_parts(
    parts: Sequence[Read], function: Acquisition, stats: ClassStats
) -> Iterator[pa.Table]:
    """Yield the parts with their final scores.

    `class_scores` are kept, for rules that split a query by class.
    """
    place = SCORE_SCHEMA.get_field_index("score")
    for read in parts:
        part = read()
        class_scores = None
        if "class_scores" in part.column_names:
            size = part.schema.field("class_scores").type.list_size
            class_scores = (
                part.column("class_scores")
                .combine_chunks()
                .flatten()
                .to_numpy()
                .reshape(-1, size)
                .astype(np.float64)
            )
        dominant = part.column("dominant").to_numpy() if "dominant" in part.column_names else None
        scores = part.column("score").to_numpy().astype(np.float64)
        final = final_scores(scores, dominant, class_scores, stats, function)
        yield part.set_column(
            place, "score", pa.array(final, pa.float32())
        ).replace_schema_metadata(None)
