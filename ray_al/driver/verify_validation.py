"""Check that the masks of validation images that people labelled agree with their labels."""

import numpy as np

from ray_al.core.errors import DataError, VerifyError
from ray_al.core.storage import Storage
from ray_al.datasets.compose import decode_mask
from ray_al.driver.pool import read_table
from ray_al.driver.validation_labels import composed
from ray_al.ledger import State


def check_validation_labels(storage: Storage, state: State) -> None:
    """Check that every labelled image was asked for, and labelled once, and that its mask fits.

    Raises:
        VerifyError: naming the first fault.
    """
    asked, known = state.created.unlabelled_validation, state.validation
    if asked is None or known is None:
        return
    names = ["image_id", "height", "width"]
    rows = read_table(storage, asked.manifest, names).to_pylist()
    sizes = {row["image_id"]: (row["height"], row["width"]) for row in rows}
    if len(sizes) != asked.num_images:
        raise VerifyError(
            f"{storage.uri(asked.manifest.path)}: {len(sizes)} images, the journal says "
            f"{asked.num_images}"
        )
    labels: dict[str, np.ndarray] = {}
    for ref in known.parts:
        for row in read_table(storage, ref).to_pylist():
            name, where = row["image_id"], storage.uri(ref.path)
            if name not in sizes or name in labels:
                fault = "labelled twice" if name in labels else "not to be labelled"
                raise VerifyError(f"{where}: {name} was {fault}")
            try:
                labels[name] = composed(row, *sizes[name])
            except DataError as error:
                raise VerifyError(f"{where}: {name}: {error}") from None
    if len(labels) != known.answered:
        raise VerifyError(
            f"parts hold the labels of {len(labels)} validation images, the journal says "
            f"{known.answered}"
        )
    if known.closed is None:
        return
    masks = {mask.image_id: mask.file for mask in known.closed.masks}
    for name in sorted(labels.keys() | masks.keys()):
        ids = decode_mask(storage.read_ref(masks[name])) if name in masks else None
        if name not in labels or ids is None or not np.array_equal(ids, labels[name]):
            raise VerifyError(f"the mask of validation image {name} is not that of its label")
