"""Draw street-like scenes with frequent and rare classes, as PNG files in CamVid's folders.

Most scenes are plain and alike; a few hold the rare classes. A random start set sees little of
them, so a good strategy can beat random.
"""

import os
import shutil
import tempfile

import numpy as np
from PIL import Image

from ray_al.core.places import make_folders
from ray_al.core.seeding import generator

CLASS_NAMES = ("sky", "ground", "building", "tree", "car", "sign")
COLORS = (
    (130, 180, 230),
    (120, 110, 100),
    (170, 90, 70),
    (70, 130, 60),
    (60, 60, 170),
    (230, 200, 40),
)
HEIGHT, WIDTH = 96, 128
SKY, GROUND, BUILDING, TREE, CAR, SIGN = range(6)
RARE_SHARE = {"train": 0.3, "val": 0.7}
"""Probability, by split, that a scene holds a rare class."""


def write_synthetic(root: str, *, num_images: int, seed: int) -> None:
    """Write `num_images` scenes for the pool and a third as many for validation.

    A folder that exists is left as it is.
    """
    if os.path.isdir(root):
        return
    parent = os.path.dirname(os.path.abspath(root))
    make_folders(parent)
    temporary = tempfile.mkdtemp(dir=parent, prefix=f".{os.path.basename(root)}-")
    try:
        _write_scenes(temporary, num_images, seed)
        try:
            os.rename(temporary, root)
        except OSError:
            if not os.path.isdir(root):
                raise
            # Another process was first; its files are the same.
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # it is gone if it was renamed


def _write_scenes(folder: str, num_images: int, seed: int) -> None:
    for split, count in (("train", num_images), ("val", max(4, num_images // 3))):
        os.makedirs(f"{folder}/{split}")
        os.makedirs(f"{folder}/{split}annot")
        for number in range(count):
            image, mask = draw_scene(seed, split, number)
            Image.fromarray(image).save(f"{folder}/{split}/{number:05d}.png")
            Image.fromarray(mask).save(f"{folder}/{split}annot/{number:05d}.png")


def draw_scene(seed: int, split: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw one scene.

    Args:
        seed: of the data set.
        split: `train` or `val`.
        number: of the scene in its split.

    Returns:
        The image, uint8 (96, 128, 3), and its class ids, uint8 (96, 128).
    """
    rng = generator("synthetic", seed, split, number)
    horizon = int(rng.integers(40, 56))
    mask = np.full((HEIGHT, WIDTH), SKY, dtype=np.uint8)
    mask[horizon:] = GROUND
    for _ in range(int(rng.integers(1, 4))):
        left = int(rng.integers(0, 110))
        width = int(rng.integers(14, 36))
        height = int(rng.integers(10, 32))
        mask[horizon - height : horizon, left : left + width] = BUILDING
    for _ in range(int(rng.integers(0, 3))):
        _draw_ellipse(
            mask, rng, TREE, rows=(30, horizon), columns=(0, WIDTH), radii=((7, 14), (5, 11))
        )
    if rng.random() < RARE_SHARE[split]:
        for _ in range(int(rng.integers(1, 4))):
            _draw_ellipse(
                mask, rng, CAR, rows=(horizon + 6, 90), columns=(8, 120), radii=((3, 6), (7, 13))
            )
    if rng.random() < RARE_SHARE[split]:
        top = int(rng.integers(horizon - 24, horizon - 8))
        left = int(rng.integers(6, 118))
        mask[top : top + 8, left : left + 8] = SIGN
    return _paint(mask, rng), mask


def _draw_ellipse(
    mask: np.ndarray,
    rng: np.random.Generator,
    value: int,
    *,
    rows: tuple[int, int],
    columns: tuple[int, int],
    radii: tuple[tuple[int, int], tuple[int, int]],
) -> None:
    """Fill an ellipse with `value`; its centre and radii are drawn from half-open ranges.

    Args:
        mask: uint8 (H, W), changed in place.
        rng: draws row, column, vertical and horizontal radius, in this order.
        value: the class id.
        rows, columns: range of the centre.
        radii: ranges of the vertical and of the horizontal radius.
    """
    row, column = int(rng.integers(*rows)), int(rng.integers(*columns))
    height, width = int(rng.integers(*radii[0])), int(rng.integers(*radii[1]))
    ys, xs = np.ogrid[:HEIGHT, :WIDTH]
    mask[((ys - row) / height) ** 2 + ((xs - column) / width) ** 2 <= 1] = value


def _paint(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint a mask in colours that vary by scene and class, with texture and noise.

    A colour alone thus does not reveal the class.
    """
    base = np.array(COLORS, dtype=np.float64) + rng.normal(0, 28, (len(COLORS), 3))
    image: np.ndarray = base[mask]
    stripes = np.sin(np.arange(WIDTH) * 0.9)[None, :, None] * 18
    image += np.where((mask == BUILDING)[..., None], stripes, 0)
    spots = rng.normal(0, 30, (HEIGHT // 2, WIDTH // 2)).repeat(2, 0).repeat(2, 1)[..., None]
    image += np.where((mask == TREE)[..., None], spots, 0)
    image += rng.normal(0, 12, image.shape)
    return (image * rng.uniform(0.75, 1.15)).clip(0, 255).astype(np.uint8)
