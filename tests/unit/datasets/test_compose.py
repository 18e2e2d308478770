import numpy as np
import pytest

from ray_al.core.errors import ConfigError
from ray_al.core.types import Box
from ray_al.datasets.bits import bits_of_ids
from ray_al.datasets.compose import Part, compose_mask, compose_targets, encode_mask


def test_targets_of_every_kind():
    dense = Part(
        box=Box(top=0, left=0, bottom=2, right=2),
        mask=encode_mask(np.array([[0, 2], [255, 1]], np.uint8)),
    )
    inside = encode_mask(np.array([[255, 0, 255]], np.uint8))
    several = Part(box=Box(top=2, left=0, bottom=3, right=3), mask=inside, classes=(0, 3))
    one = Part(box=Box(top=0, left=2, bottom=2, right=3), mask=None, classes=(4,))
    targets = compose_targets([dense, several, one], 4, 3)
    assert targets.dtype == np.int64
    assert targets[..., 0].tolist() == [[1, 4, 16], [0, 2, 16], [9, 0, 9], [0, 0, 0]]
    assert targets[..., 1].tolist() == [[1, 1, 3], [0, 1, 3], [2, 0, 2], [0, 0, 0]]


def test_bits_are_never_overwritten_by_no_label():
    box = Box(top=0, left=0, bottom=1, right=3)
    first = Part(box=box, mask=None, classes=(1, 2))
    later = [
        Part(box=box, mask=encode_mask(np.array([[0, 255, 255]], np.uint8))),
        Part(box=box, mask=None, classes=()),
        Part(box=box, mask=None, classes=(255,)),
        Part(box=box, mask=encode_mask(np.array([[0, 0, 255]], np.uint8)), classes=(5,)),
    ]
    assert compose_targets([first, *later], 1, 3)[..., 0].tolist() == [[1, 6, 32]]


def test_dense_parts_compose_as_the_mask_does():
    rng = np.random.default_rng(0)
    parts = []
    for _ in range(6):
        top, left = (int(value) for value in rng.integers(0, 5, 2))
        box = Box(top=top, left=left, bottom=top + 3, right=left + 4)
        parts.append(
            (box, encode_mask(rng.choice(np.array([0, 3, 62, 255], np.uint8), size=(3, 4))))
        )
    composed = compose_targets([Part(box=box, mask=data) for box, data in parts], 8, 9)[..., 0]
    assert (composed == bits_of_ids(compose_mask(parts, 8, 9))).all()


def test_a_class_that_no_bit_stands_for_is_refused():
    box = Box(top=0, left=0, bottom=1, right=1)
    with pytest.raises(ConfigError, match="there are 64"):
        compose_targets([Part(box=box, mask=None, classes=(1, 63))], 1, 1)


def test_no_parts_no_labels():
    assert compose_targets([], 2, 3).tolist() == np.zeros((2, 3, 2), int).tolist()
