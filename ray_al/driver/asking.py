"""Describe a query to the annotator."""

import functools
from collections.abc import Callable, Set

import numpy as np
import pyarrow as pa

from ray_al.core.config import DataConfig, RunConfig
from ray_al.core.families.annotators import LabelRequest
from ray_al.core.families.label_parts import Classes
from ray_al.core.run_dir import CycleDir
from ray_al.core.storage import Storage
from ray_al.core.types import RegionName
from ray_al.datasets.images import read_pool_image, read_seen
from ray_al.datasets.pixels import PixelRule, to_picture
from ray_al.datasets.tiles import split_uri
from ray_al.driver.context import Context
from ray_al.driver.training import is_untrained
from ray_al.ledger import Query, State


def describe_query(
    context: Context,
    query: Query,
    table: pa.Table,
    *,
    left_out: Set[RegionName] = frozenset(),
    taken: Set[RegionName] = frozenset(),
) -> LabelRequest:
    """Describe the open query to the annotator."""
    heights, widths = (context.pool.manifest.column(name) for name in ("height", "width"))
    data, manifest = context.config.data, context.pool.manifest
    read = image_reader(manifest, data)
    read_margins = read if data.tile is None else image_reader(manifest, data, seen=True)
    return LabelRequest(
        storage=context.storage,
        folder=query.tasks or _new_folder(context, query),
        query=table,
        left_out=left_out,
        taken=taken,
        label=context.config.label,
        classes=Classes(names=context.dataset.class_names, colors=context.dataset.colors),
        regions_of=context.pool.regions_of,
        size_of=lambda index: (heights[index].as_py(), widths[index].as_py()),
        read_image=lambda index: to_picture(read(index), data.shown_positions),
        propose=_proposer(context, query.cycle, read_margins),
        truth=context.truth,
    )


def announce_classes(storage: Storage, state: State, config: RunConfig) -> None:
    """Tell people who are labelling of classes that an extension added or renamed."""
    query = state.queries[-1] if state.queries else None
    folders = [query.tasks] if query and not query.closed else []
    if state.validation and not state.validation.closed:
        folders.append(state.validation.tasks)
    if not state.extensions:
        return
    classes = Classes(names=state.created.class_names, colors=state.created.colors)
    for folder in folders:
        if folder is not None:
            config.label.annotator.announce_classes(storage, folder, classes)


def _new_folder(context: Context, query: Query) -> str:
    """Return the folder for the tasks of a query; a cycle may have several queries."""
    number = sum(other.cycle == query.cycle for other in context.state.queries)
    return CycleDir(query.cycle + 1).tasks(number)


def names_of(table: pa.Table) -> set[RegionName]:
    """Return the regions of the rows."""
    rows = table.select(["image_id", "region"]).to_pylist()
    return {(row["image_id"], row["region"]) for row in rows}


def image_reader(
    manifest: pa.Table, data: DataConfig, *, seen: bool = False
) -> Callable[[int], np.ndarray]:
    """Return a reader: image_index -> values as networks see them, (H, W, C) in native pixels.

    It keeps the last image, because tasks are made image by image.

    Args:
        manifest: the images, with places that can be opened.
        data: the section `data`.
        seen: whether a tile comes with its margin, as the network sees it.
    """
    uris, heights, widths = (manifest.column(name) for name in ("uri", "height", "width"))
    rule = PixelRule.of(data)

    @functools.lru_cache(maxsize=1)
    def read(index: int) -> np.ndarray:
        uri, size = uris[index].as_py(), (heights[index].as_py(), widths[index].as_py())
        if seen and (tile := split_uri(uri)[1]) is not None:
            return read_seen(uri, tile.window, rule, size)
        return read_pool_image(uri, size, rule)

    return read


def _proposer(
    context: Context, cycle: int, read: Callable[[int], np.ndarray]
) -> Callable[[int], np.ndarray | None]:
    """Return a predictor: image_index -> class ids of the model of `cycle`, uint8 (H, W).

    The model is loaded at the first call.
    """
    if cycle not in context.state.trained or is_untrained(context, cycle):
        return lambda index: None

    @functools.cache
    def predictor() -> Callable[[int], np.ndarray]:
        # Loads PyTorch, which asking without a model does not need.
        from ray_al.driver.proposals import ProposalModel

        weights = context.storage.read_ref(context.state.trained[cycle].model)
        predict = ProposalModel(context.config, context.dataset.num_classes, weights)
        uris = context.pool.manifest.column("uri")

        def core(index: int) -> np.ndarray:
            tile = split_uri(uris[index].as_py())[1]
            ids = predict(read(index))
            return ids if tile is None else tile.cut(ids)

        return core

    return lambda index: predictor()(index)
