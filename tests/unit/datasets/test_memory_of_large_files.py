"""Decoding a large file takes little more memory than what is returned."""

import io
import tracemalloc
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ray_al.core import memory
from ray_al.core.types import ImageFile
from ray_al.datasets import strips, whole
from ray_al.datasets.look import look
from ray_al.datasets.mask_decoder import MaskDecoder
from ray_al.datasets.masks import decode_mask, read_mask
from ray_al.datasets.pixels import PLAIN, PixelRule
from ray_al.datasets.tiles import Tiling

SIZE = (1500, 2000)
COLORS = ((10, 20, 30), (200, 0, 0), (0, 200, 0))
IDS = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) // 100_000 % 3


@pytest.fixture(autouse=True)
def _small_strips(monkeypatch):
    monkeypatch.setattr(strips, "WHOLE_PIXELS", 1 << 18)
    monkeypatch.setattr(strips, "STRIP_PIXELS", 1 << 16)


def bytes_per_pixel(work: Callable[[], object]) -> float:
    """Return the most that arrays and bytes take up meanwhile; Pillow's pictures are not seen."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / (SIZE[0] * SIZE[1])
    finally:
        tracemalloc.stop()


def png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def test_masks():
    """Values as they are stored, and class ids; a strip of all that is between them."""
    ids, painted = png(IDS.astype(np.uint8)), png(np.array(COLORS, np.uint8)[IDS])
    decoder = MaskDecoder(num_classes=3)
    assert bytes_per_pixel(lambda: decode_mask(ids, "m.png", decoder)) < 1 + 1 + 0.5
    decoder = MaskDecoder(num_classes=3, encoding="colors", colors=COLORS)
    assert bytes_per_pixel(lambda: decode_mask(painted, "m.png", decoder)) < 3 + 1 + 1 + 1


@pytest.mark.parametrize(
    ("values", "rule", "most"),
    [
        (IDS.astype(np.uint8), PLAIN, 1),
        (np.array(COLORS, np.uint8)[IDS], PLAIN, 3),
        (np.array(COLORS, np.uint8)[IDS], PixelRule(value_range=(0.0, 200.0)), 3),
    ],
)
def test_checks_of_images(tmp_path, values, rule, most):
    (tmp_path / "a.png").write_bytes(png(values))
    file = ImageFile(image_id="a", uri=str(tmp_path / "a.png"))
    assert bytes_per_pixel(lambda: look(file, SimpleNamespace(pixels=rule))) < most + 1.5


def test_memory_that_was_freed_is_returned_before_a_large_file_is_decoded(tmp_path, monkeypatch):
    returned = []
    monkeypatch.setattr(whole, "WHOLE_PIXELS", 1 << 18)
    monkeypatch.setattr(whole, "return_unused_memory", lambda: returned.append(1))
    for name, size in (("large", SIZE), ("small", (40, 40))):
        (tmp_path / f"{name}.png").write_bytes(png(np.zeros(size, np.uint8)))
        file = ImageFile(image_id=name, uri=str(tmp_path / f"{name}.png"))
        for part, _ in Tiling((32, 32), 4).divide(file, size):
            read_mask(part.uri, MaskDecoder(num_classes=1))
    assert len(returned) == 1
    memory.return_unused_memory()
    whole.forget_files()
