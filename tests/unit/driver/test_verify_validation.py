"""Labels and masks of validation images that do not agree are found."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from helpers.records import run_created

from ray_al.core.errors import VerifyError
from ray_al.core.storage import Storage
from ray_al.core.types import LABEL_SCHEMA, MANIFEST_SCHEMA
from ray_al.datasets.compose import encode_mask
from ray_al.driver.pool import table_bytes
from ray_al.driver.verify_validation import check_validation_labels
from ray_al.ledger import State
from ray_al.ledger.records import MaskFile, UnlabelledImages, ValidationClosed
from ray_al.ledger.validation import ValidationLabels

IDS = np.array([[0, 1], [1, 255]], np.uint8)


def manifest(*names):
    rows = [{"image_id": name, "uri": name, "height": 2, "width": 2} for name in names]
    return table_bytes(pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA))


def labels(*names, ids=IDS):
    rows = [{"image_id": name, "box": [0, 0, 2, 2], "mask": encode_mask(ids)} for name in names]
    return table_bytes(pa.Table.from_pylist(rows, schema=LABEL_SCHEMA))


@pytest.fixture
def labelled(tmp_path):
    """A run of two validation images, of which one has a label and a mask."""
    storage = Storage(str(tmp_path))
    asked = UnlabelledImages(
        manifest=storage.put("m.parquet", manifest("a", "b"), attempt=0), num_images=2
    )
    mask = MaskFile(image_id="a", file=storage.put("a.png", encode_mask(IDS), attempt=0))
    known = ValidationLabels(
        num_images=2,
        parts=(storage.put("p.parquet", labels("a"), attempt=0),),
        answered=1,
        closed=ValidationClosed(masks=(mask,), num_unanswered=1, class_pixels=(1, 2)),
    )
    created = replace(run_created(), unlabelled_validation=asked)
    return storage, State(created=created, validation=known)


def with_part(labelled, data, **changes):
    storage, state = labelled
    ref = storage.put("other.parquet", data, attempt=0)
    known = replace(state.validation, parts=(ref,), **changes)
    return storage, replace(state, validation=known)


def test_labels_and_masks_that_agree_are_right(labelled):
    check_validation_labels(*labelled)
    storage, _ = labelled
    check_validation_labels(storage, State())


def test_faults_are_named(labelled):
    with pytest.raises(VerifyError, match="a was labelled twice"):
        check_validation_labels(*with_part(labelled, labels("a", "a"), answered=2))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (labels("c"), "c was not to be labelled"),
        (labels("a", "b"), "labels of 2 validation images, the journal says 1"),
        (labels("b"), "mask of validation image a is not that of its label"),
        (labels("a", ids=1 - IDS.clip(0, 1)), "image a is not that of its label"),
        (labels("a", ids=IDS[:1]), "a: its label is not a mask of the box"),
    ],
)
def test_parts_that_do_not_fit_are_named(labelled, data, words):
    with pytest.raises(VerifyError, match=words):
        check_validation_labels(*with_part(labelled, data))


def test_another_number_of_images_is_named(labelled):
    storage, state = labelled
    asked = replace(state.created.unlabelled_validation, num_images=3)
    created = replace(state.created, unlabelled_validation=asked)
    with pytest.raises(VerifyError, match="2 images, the journal says 3"):
        check_validation_labels(storage, replace(state, created=created))
