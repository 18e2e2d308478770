import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from ray_al.core.errors import DataError
from ray_al.core.families.annotators import ANNOTATORS, LabelRequest
from ray_al.core.families.labels import LABELS
from ray_al.core.types import MANIFEST_SCHEMA
from ray_al.datasets import masks
from ray_al.datasets.masks import MaskDecoder
from ray_al.datasets.whole import forget_files
from ray_al.label.truth import ground_truth
from ray_al.regions.grid import Grid


def annotate(query, read):
    """What the simulated annotator makes of a query: it looks at nothing but the ground truth."""
    unread = dict.fromkeys(
        ("storage", "folder", "classes", "regions_of", "size_of", "read_image", "propose")
    )
    return ANNOTATORS.parse("simulated").collect(
        LabelRequest(query=query, label=LABELS.parse({"max_clicks": 10}), truth=read, **unread)
    )


@pytest.fixture
def read(tmp_path):
    """Two images of 8x12 in a grid of 2x2; the ids of the second mask start at 1.

    The second mask holds the id 3 in one corner only.
    """
    kind, rows = Grid(rows=2, columns=2), []
    for index in range(2):
        ids = np.ones((8, 12), np.uint8)
        ids[6:, 9:] = 2 + index
        path = tmp_path / f"{index}.png"
        Image.fromarray(ids).save(path)
        rows.append(
            dict(
                zip(
                    MANIFEST_SCHEMA.names, (index, str(index), "", str(path), 8, 12, 4), strict=True
                )
            )
        )
    manifest = pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA)
    return ground_truth(
        manifest, lambda index: kind.of_image(8, 12, None), MaskDecoder(num_classes=3)
    )


def test_a_mask_that_counts_in_another_way_is_not_believed_anywhere(read):
    assert read(0, 0).ids.tolist() == np.ones((4, 6)).tolist()
    for region in range(4):
        with pytest.raises(DataError, match=r"1\.png: id 3 on 6 pixels is no class"):
            read(1, region)


def test_its_regions_are_refused_with_the_reason(read):
    rows = [{"image_index": index, "image_id": str(index), "region": 0} for index in range(2)]
    labels = annotate(pa.Table.from_pylist(rows), read)
    assert labels.table["image_id"].to_pylist() == ["0"]
    assert [(refusal.image_id, refusal.final) for refusal in labels.refused] == [("1", True)]
    assert "the ids here are 1, 3" in labels.refused[0].reason


def test_a_mask_is_decoded_once_for_all_of_its_regions(read, monkeypatch):
    forget_files()
    decoded = []
    decode = masks.decode_mask
    monkeypatch.setattr(
        masks,
        "decode_mask",
        lambda *given, **more: decoded.append(given[1]) or decode(*given, **more),
    )
    read(0, 0).ids[:] = 2  # what is handed out belongs to whoever asked
    assert read(0, 0).ids.tolist() == np.ones((4, 6)).tolist()
    assert read(0, 3).ids[2:, 3:].tolist() == np.full((2, 3), 2).tolist()
    assert len(decoded) == 1
    forget_files()
    read(0, 1)
    assert len(decoded) == 2
