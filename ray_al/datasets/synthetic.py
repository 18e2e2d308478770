"""Seeded street-like scenes with frequent and rare classes, written as PNG files in CamVid's folders.

Most scenes are plain and alike; a few hold the rare classes. A random start sees little of them, so that choosing well has
something to win.
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
RARE_SHARE = 0.3


def write_synthetic(root: str, *, num_images: int, seed: int) -> None:
    """Write `num_images` for the pool and a third as many for validation; what stands is left as it is."""
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
        shutil.rmtree(temporary, ignore_errors=True)  # gone already where it was renamed


def _write_scenes(folder: str, num_images: int, seed: int) -> None:
    for split, count in (("train", num_images), ("val", max(4, num_images // 3))):
        os.makedirs(f"{folder}/{split}")
        os.makedirs(f"{folder}/{split}annot")
        for number in range(count):
            image, mask = draw_scene(seed, split, number)
            Image.fromarray(image).save(f"{folder}/{split}/{number:05d}.png")
            Image.fromarray(mask).save(f"{folder}/{split}annot/{number:05d}.png")


def draw_scene(seed: int, split: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    """One scene: uint8 (96, 128, 3) and its class ids (96, 128)."""
    rng = generator("synthetic", seed, split, number)
    horizon = int(rng.integers(40, 56))
    mask = np.full((HEIGHT, WIDTH), SKY, dtype=np.uint8)
    mask[horizon:] = GROUND
    for _ in range(int(rng.integers(1, 4))):
        left, width, height = (
            int(rng.integers(*bounds)) for bounds in ((0, 110), (14, 36), (10, 32))
        )
        mask[horizon - height : horizon, left : left + width] = BUILDING
    for _ in range(int(rng.integers(0, 3))):
        _ellipse(
            mask,
            int(rng.integers(30, horizon)),
            int(rng.integers(0, WIDTH)),
            int(rng.integers(7, 14)),
            int(rng.integers(5, 11)),
            TREE,
        )
    share = RARE_SHARE if split == "train" else 0.7
    if rng.random() < share:
        for _ in range(int(rng.integers(1, 4))):
            _ellipse(
                mask,
                int(rng.integers(horizon + 6, 90)),
                int(rng.integers(8, 120)),
                int(rng.integers(3, 6)),
                int(rng.integers(7, 13)),
                CAR,
            )
    if rng.random() < share:
        top, left = int(rng.integers(horizon - 24, horizon - 8)), int(rng.integers(6, 118))
        mask[top : top + 8, left : left + 8] = SIGN
    return _paint(mask, rng), mask


def _ellipse(mask: np.ndarray, row: int, column: int, height: int, width: int, value: int) -> None:
    ys, xs = np.ogrid[:HEIGHT, :WIDTH]
    mask[((ys - row) / height) ** 2 + ((xs - column) / width) ** 2 <= 1] = value


def _paint(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Colours that vary by scene and class, with texture and noise: a colour alone does not tell the class."""
    base = np.array(COLORS, dtype=np.float64) + rng.normal(0, 28, (len(COLORS), 3))
    image = base[mask]
    stripes = np.sin(np.arange(WIDTH) * 0.9)[None, :, None] * 18
    image += np.where((mask == BUILDING)[..., None], stripes, 0)
    spots = rng.normal(0, 30, (HEIGHT // 2, WIDTH // 2)).repeat(2, 0).repeat(2, 1)[..., None]
    image += np.where((mask == TREE)[..., None], spots, 0)
    image += rng.normal(0, 12, image.shape)
    return (image * rng.uniform(0.75, 1.15)).clip(0, 255).astype(np.uint8)
