"""Ask people for the masks of validation images, and read what they answered.

The question is always the mask of a whole image, or of a tile where images are divided: metrics
compare every pixel with its class, so a dominant class or a set of classes would not do. It does
not depend on the regions of the run. Nothing of it belongs to the budget.
"""

from collections.abc import Set

import numpy as np
import pyarrow as pa

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError, DataError
from ray_al.core.families.annotators import LabelRequest, Truth
from ray_al.core.families.label_parts import Classes
from ray_al.core.families.labels import LabelKind
from ray_al.core.run_dir import RunDir
from ray_al.core.storage import Storage
from ray_al.core.types import IGNORE_INDEX, LABEL_SCHEMA, QUERY_SCHEMA, FileRef, RegionName
from ray_al.datasets import Dataset
from ray_al.datasets.catalog import data_root
from ray_al.datasets.compose import decode_mask
from ray_al.datasets.manifest import absolute_places, build_manifest
from ray_al.datasets.pixels import to_picture
from ray_al.datasets.tiles import Tiling
from ray_al.driver.asking import image_reader, names_of
from ray_al.driver.context import Context
from ray_al.driver.pool import read_table
from ray_al.label.kinds.dense import DenseLabel
from ray_al.ledger import State
from ray_al.ledger.validation import ValidationLabels
from ray_al.regions.image import WholeImage

REASON = "validation image"
"""Reason of the rows of the request."""
UNLIMITED = 2**31 - 1
"""`max_clicks` of the question: no budget pays for the answers, so all of their clicks count."""


def mask_question(config: RunConfig) -> LabelKind:
    """Return the question that is put to people: a mask of every pixel."""
    return DenseLabel(annotator=config.label.annotator, max_clicks=UNLIMITED)


def awaited(state: State) -> ValidationLabels | None:
    """Return the labels of validation images that are still awaited; None if none are."""
    known = state.validation
    return None if known is None or known.closed else known


def masks_of(state: State) -> tuple[tuple[str, FileRef], ...]:
    """Return image_id and mask of each validation image that people labelled."""
    known = state.validation
    if known is None or known.closed is None:
        return ()
    return tuple((mask.image_id, mask.file) for mask in known.closed.masks)


def unlabelled_manifest(context: Context) -> pa.Table:
    """Return the validation images without a mask, or their tiles, MANIFEST_SCHEMA."""
    asked = context.state.created.unlabelled_validation
    assert asked is not None  # steps about them are due only if there are any
    return absolute_places(
        read_table(context.storage, asked.manifest), data_root(context.config.data)
    )


def check_sizes(
    storage: Storage, state: State, dataset: Dataset, config: RunConfig, place: str
) -> None:
    """Refuse a place at which validation images that people label are gone or of another size.

    Args:
        dataset: the data set at that place.
        place: how messages name it.

    Raises:
        ConfigError: naming the image.
    """
    asked = state.created.unlabelled_validation
    if asked is None:
        return
    images = [image for image in dataset.splits["val"] if image.image_id in dataset.unlabelled]
    there, errors = build_manifest(
        images, lambda height, width: 1, dataset.pixels, tiling=Tiling.of(config.data)
    )
    names = ["image_id", "height", "width"]
    rows = {row["image_id"]: row for row in there.select(names).to_pylist()}
    broken = dict(errors)
    for known in read_table(storage, asked.manifest, names).to_pylist():
        name = known["image_id"]
        if rows.get(name) != known:
            found = broken.get(name) or "it has another size, or is not there"
            raise ConfigError(
                f"{place}: the validation image {name} had {known['height']}x{known['width']} "
                f"pixels when people were asked for its mask: {found}; give the run's own data"
            )


def request_table(manifest: pa.Table) -> pa.Table:
    """Return one row per image, whose only region is the image, QUERY_SCHEMA."""
    num = len(manifest)
    heights, widths = (manifest.column(name).to_numpy() for name in ("height", "width"))
    columns = {
        "image_index": manifest.column("image_index").to_numpy(),
        "image_id": manifest.column("image_id").to_pylist(),
        "region": np.zeros(num, dtype=np.int32),
        "score": np.zeros(num, dtype=np.float32),
        "num_pixels": heights.astype(np.int64) * widths,
        "rank": np.arange(num),
        "reason": [REASON] * num,
        "cost": np.zeros(num, dtype=np.int64),
    }
    arrays = [pa.array(columns[field.name], field.type) for field in QUERY_SCHEMA]
    return pa.table(arrays, schema=QUERY_SCHEMA)


def describe_validation(
    context: Context,
    *,
    left_out: Set[RegionName] = frozenset(),
    taken: Set[RegionName] = frozenset(),
) -> LabelRequest:
    """Describe the validation images without a mask to the annotator."""
    manifest, data = unlabelled_manifest(context), context.config.data
    heights, widths = (manifest.column(name).to_pylist() for name in ("height", "width"))
    regions, read = WholeImage(), image_reader(manifest, data)
    known = context.state.validation
    return LabelRequest(
        storage=context.storage,
        folder=(known and known.tasks) or RunDir.VALIDATION_TASKS,
        query=request_table(manifest),
        left_out=left_out,
        taken=taken,
        label=mask_question(context.config),
        classes=Classes(names=context.dataset.class_names, colors=context.dataset.colors),
        regions_of=lambda index: regions.of_image(heights[index], widths[index]),
        size_of=lambda index: (heights[index], widths[index]),
        read_image=lambda index: to_picture(read(index), data.shown_positions),
        propose=lambda index: None,
        truth=_no_truth,
    )


def _no_truth(image_index: int, region: int) -> Truth:
    raise DataError("validation images that people label have no mask")


def settled_names(context: Context) -> set[RegionName]:
    """Return the images that have a label, or that will have none."""
    known = context.state.validation
    assert known is not None
    names = {refusal.name for refusal in known.refused if refusal.final}
    for ref in known.parts:
        names |= names_of(read_table(context.storage, ref, ["image_id", "region"]))
    return names


def composed(row: dict[str, object], height: int, width: int) -> np.ndarray:
    """Return the class ids of an image from its row of LABEL_SCHEMA, uint8 (height, width).

    Raises:
        DataError: the label is no mask of the whole image.
    """
    whole, mask = [0, 0, height, width], row["mask"]
    if isinstance(mask, bytes) and row["box"] == whole and row["classes"] is None:
        ids = decode_mask(mask)
        if ids.shape == (height, width):
            return ids
    raise DataError(
        f"its label is not a mask of the box {whole}; validation images need masks of all pixels"
    )


def labels_of_part(context: Context, ref: FileRef) -> list[dict[str, object]]:
    """Return the rows of a part of the labels."""
    rows: list[dict[str, object]] = read_table(
        context.storage, ref, [field.name for field in LABEL_SCHEMA]
    ).to_pylist()
    return rows


def says_nothing(ids: np.ndarray) -> bool:
    """Return whether no pixel of a mask has a class."""
    return bool((ids == IGNORE_INDEX).all())
