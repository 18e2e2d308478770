"""A pool with drawn scores and features, from which the driver's own code chooses.

It needs no model, no Ray and no image.
"""

from collections.abc import Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
from helpers.records import features_extracted, pool_scored, run_created

from ray_al.core.config import RunConfig, parse_config
from ray_al.core.errors import DataError
from ray_al.core.families.annotators import Truth
from ray_al.core.families.regions import REGIONS
from ray_al.core.run_dir import RunDir
from ray_al.core.storage import Storage
from ray_al.core.types import (
    LABEL_SCHEMA,
    MANIFEST_SCHEMA,
    QUERY_SCHEMA,
    SCORE_SCHEMA,
    Box,
    FileRef,
)
from ray_al.driver import select_query
from ray_al.driver.context import Context
from ray_al.driver.costs import upper_bounds
from ray_al.driver.pool import Pool, read_table, table_bytes
from ray_al.driver.scored_pool import scored_parts
from ray_al.ledger import Query, State
from ray_al.ledger.records import BrokenImage
from ray_al.scoring.features import feature_schema
from ray_al.scoring.shards import CLASS_COUNTS

NUM_CLASSES, NUM_FEATURES, NUM_LABELLED = 4, 6, 25
SIZES = {"equal": [(96, 128)], "mixed": [(96, 128), (64, 96), (122, 163)]}
KINDS = {"grid": (30, {"kind": "grid", "rows": 4, "columns": 4}), "image": (200, {"kind": "image"})}


class Bench(Context):
    """A pool in cycle 0, as `select_query` needs it.

    The first regions by name are labelled, all others are scored and described.
    """

    state = State()  # drawn anew, where that of a run follows from its ledger

    def __init__(
        self, values: dict[str, Any], *, kind: str = "grid", sizes: str = "equal", seed: int = 0
    ) -> None:
        self.config: RunConfig = parse_config({"regions": KINDS[kind][1], **values}, source="bench")
        self.dataset: Any = SimpleNamespace(num_classes=NUM_CLASSES)
        self.broken_images = set[int]()
        self.note = lambda stage, done, total: None
        self.storage, self.state = _drawn(kind, sizes, seed)
        self.pool = Pool(self.storage, self.state, self.config)
        self.truth = lambda index, region: Truth(
            ids=np.full((1, 1), 255 if (7 * index + region) % 5 == 0 else 0, dtype=np.uint8),
            region=None,
            box=Box(top=0, left=0, bottom=1, right=1),
        )

    def quarantine(self, broken: Sequence[BrokenImage]) -> None:
        self.pool.quarantine(image.image_id for image in broken)

    def read_scores(self, ref: FileRef) -> pa.Table:
        return _read(self.storage, ref)

    def choose(self, amount: int) -> pa.Table:
        """The query of cycle 0 that `amount` pays."""
        return select_query.select_query(self, 0, amount)

    def rest(
        self,
        query: pa.Table,
        left: int,
        *,
        per_image: int = 0,
        min_distance: float = 0.0,
        skip_void_by_ground_truth: bool = False,
    ) -> pa.Table:
        """Return the regions that `left` would still have paid for in addition to `query`.

        The rules are written anew here.
        """
        rows = pa.concat_tables(scored_parts(self, 0))
        rows = rows.filter(pa.array(upper_bounds(self, rows) <= left))
        taken = list(
            zip(query["image_index"].to_pylist(), query["region"].to_pylist(), strict=True)
        )
        allowed = []
        for image, region in zip(
            rows["image_index"].to_pylist(), rows["region"].to_pylist(), strict=True
        ):
            same = [other for one, other in taken if one == image]
            boxes = self.pool.regions_of(image).boxes.astype(float)
            centre = (boxes[:, :2] + boxes[:, 2:]) / 2
            near = any(np.hypot(*(centre[region] - centre[other])) < min_distance for other in same)
            is_void = skip_void_by_ground_truth and (self.truth(image, region).ids == 255).all()
            allowed.append(
                region not in same
                and not near
                and not is_void
                and not (per_image and len(same) >= per_image)
            )
        return rows.filter(pa.array(allowed, pa.bool_()))

    def read_image(self, uri: str, size: tuple[int, int], rule: object = None) -> np.ndarray:
        if int(uri.rsplit("/", 1)[-1]) in self.broken_images:
            raise DataError(f"{uri}: broken")
        return np.zeros((1, 1, 3), dtype=np.uint8)


@cache
def _read(storage: Storage, ref: FileRef) -> pa.Table:
    return read_table(storage, ref)


@cache
def _drawn(kind: str, sizes: str, seed: int) -> tuple[Storage, State]:
    """A pool and its files, the same for all strategies."""
    num_images, settings = KINDS[kind]
    storage, random = Storage(f"memory://bench/{kind}-{sizes}-{seed}"), np.random.default_rng(seed)
    regions = REGIONS.parse(settings)
    shapes = [SIZES[sizes][index % len(SIZES[sizes])] for index in range(num_images)]
    manifest = _manifest(shapes, regions)
    rows = _rows(shapes, regions, random)
    start, labels = _labelled(rows.slice(0, NUM_LABELLED))
    parts = _with_classes(rows.slice(NUM_LABELLED), random)
    image = parts.column("image_index").to_numpy()
    shards = [parts.filter(pa.array(image // (num_images // 2) == number)) for number in (0, 1)]

    def put(name: str, table: pa.Table) -> FileRef:
        return storage.put(name, table_bytes(table), attempt=0)

    state = State(
        created=run_created(
            manifest=put(RunDir.MANIFEST, manifest).as_dict(), amount=1 << 40, **_totals(manifest)
        ),
        queries=(
            Query(
                cycle=-1,
                file=put("start.parquet", start),
                num_regions=len(start),
                cost=len(start),
                closed=True,
            ),
        ),
        label_parts=(put("labels.parquet", labels),),
        scores={
            0: {
                number: put(f"scores-{number}.parquet", shard)
                for number, shard in enumerate(shards)
            }
        },
        scored={0: pool_scored()},
        features={0: {0: put("features.parquet", _features(rows, random))}},
        extracted={0: features_extracted()},
    )
    return storage, state


def _rows(shapes: list[tuple[int, int]], regions: Any, random: np.random.Generator) -> pa.Table:
    """Return a table of SCORE_SCHEMA with all regions.

    The scores of an image lie close to each other, and many are equal.
    """
    pixels = [regions.of_image(*shape).num_pixels for shape in shapes]
    counts = [len(one) for one in pixels]
    index = np.repeat(np.arange(len(shapes)), counts)
    scores = np.round(random.random(len(shapes))[index] + 0.5 * random.random(len(index)), 2)
    columns = [
        index,
        [f"i{one:04d}" for one in index],
        np.concatenate([np.arange(count) for count in counts]),
        scores,
        np.concatenate(pixels),
    ]
    return pa.table(
        [
            pa.array(column).cast(field.type)
            for column, field in zip(columns, SCORE_SCHEMA, strict=True)
        ],
        schema=SCORE_SCHEMA,
    )


def _with_classes(rows: pa.Table, random: np.random.Generator) -> pa.Table:
    flat = random.dirichlet(np.full(NUM_CLASSES, 0.3), len(rows)).astype(np.float32)
    rows = rows.append_column(
        "class_scores", pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), NUM_CLASSES)
    )
    covers = (
        np.random.default_rng(len(rows)).dirichlet([2, 0.5, 0.2, 0.1], len(rows)).astype(np.float32)
    )  # drawn apart: all else stays as it was
    counts = np.round(1e6 * covers.sum(axis=0)).astype("<i8")
    rows = rows.append_column(
        "covers", pa.FixedSizeListArray.from_arrays(pa.array(covers.ravel()), NUM_CLASSES)
    )
    return rows.replace_schema_metadata({CLASS_COUNTS: counts.tobytes()})


def _features(rows: pa.Table, random: np.random.Generator) -> pa.Table:
    centres = 4 * random.normal(size=(12, NUM_FEATURES))
    feature = (
        centres[random.integers(0, 12, len(rows))] + random.normal(size=(len(rows), NUM_FEATURES))
    ).astype(np.float32)
    likely = random.dirichlet(np.full(NUM_CLASSES, 0.5), len(rows)).astype(np.float32)
    lists = [
        pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
        for values in (feature, likely)
    ]
    names = [rows.column(name).combine_chunks() for name in ("image_index", "image_id", "region")]
    return pa.table([*names, *lists], schema=feature_schema(NUM_FEATURES, NUM_CLASSES))


def _labelled(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """A start set, and its labels."""
    extra = {
        "rank": np.arange(len(rows)),
        "reason": ["start"] * len(rows),
        "cost": np.ones(len(rows)),
    }
    query = pa.table(
        [
            *rows.columns,
            *(pa.array(extra[field.name]).cast(field.type) for field in list(QUERY_SCHEMA)[5:]),
        ],
        schema=QUERY_SCHEMA,
    )
    return query, pa.Table.from_pylist(
        rows.select(["image_index", "image_id", "region"]).to_pylist(), schema=LABEL_SCHEMA
    )


def _manifest(shapes: list[tuple[int, int]], kind: Any) -> pa.Table:
    number = np.arange(len(shapes))
    names, uris = [f"i{one:04d}" for one in number], [str(one) for one in number]
    heights, widths = np.array(shapes).T
    columns = [
        number,
        names,
        uris,
        uris,
        heights,
        widths,
        [kind.num_regions(*shape) for shape in shapes],
    ]
    return pa.table(
        [
            pa.array(column).cast(field.type)
            for column, field in zip(columns, MANIFEST_SCHEMA, strict=True)
        ],
        schema=MANIFEST_SCHEMA,
    )


def _totals(manifest: pa.Table) -> dict[str, int]:
    height, width, regions = (
        manifest.column(name).to_numpy().astype(np.int64)
        for name in ("height", "width", "num_regions")
    )
    return {
        "num_images": len(manifest),
        "num_regions": int(regions.sum()),
        "num_pixels": int((height * width).sum()),
    }
