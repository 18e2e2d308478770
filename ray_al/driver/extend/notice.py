"""Say that the data set has changed since the pool of a run was listed."""

import logging
from shlex import quote

import pyarrow as pa
import pyarrow.compute as pc

from ray_al.datasets.tiles import image_of
from ray_al.driver.context import Context

logger = logging.getLogger(__name__)


def say_unknown_images(context: Context) -> None:
    """Log how many images of the data set are not in the pool, and the other way round."""
    names = pa.array([image.image_id for image in context.dataset.splits["train"]], pa.string())
    entries = context.pool.manifest.select(["image_id", "uri"])
    out_of_pool = sorted(context.state.removed | context.state.quarantined.keys())
    is_out = pc.is_in(entries.column("image_id"), value_set=pa.array(out_of_pool, pa.string()))
    known, out = _image_names(entries, context), _image_names(entries.filter(is_out), context)
    new = _without(names, known)
    missing = _without(_without(known, names), out)
    for images, what in ((new, "are not in the pool of"), (missing, "are no longer there for")):
        if len(images):
            logger.warning(
                "%d images of the data set %s this run, such as %s; "
                "to take them in, or out, extend it: ray-al extend %s",
                len(images),
                what,
                images[0].as_py(),
                quote(context.storage.root),
            )


def _image_names(entries: pa.Table, context: Context) -> pa.Array:
    """Return the names of the images to which rows of the manifest belong."""
    names = entries.column("image_id").combine_chunks()
    if context.config.data.tile is None:
        return names
    uris = entries.column("uri").to_pylist()
    of_tiles = {image_of(name, uri) for name, uri in zip(names.to_pylist(), uris, strict=True)}
    return pa.array(sorted(of_tiles), pa.string())


def _without(names: pa.Array, others: pa.Array) -> pa.Array:
    return names.filter(pc.invert(pc.is_in(names, value_set=others)))
