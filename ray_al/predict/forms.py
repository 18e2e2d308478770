"""The forms in which a prediction is written, one file per image and form."""

import io
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from PIL import Image

from ray_al.datasets.strips import row_strips
from ray_al.predict.choose import TakenModel

COLOR_SHARE = 0.5
"""Weight of a class's colour in an overlay; the rest is the image."""
BORDER_SHARE = 0.35
"""Brightness of the borders between classes in an overlay."""
JPEG_QUALITY = 92
JPEG_SIDE = 65_500
"""Longest side in pixels that JPEG can have."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The prediction of one image, at the image's own size.

    Attributes:
        image: uint8 (H, W, 3).
        class_ids: uint8 (H, W).
        probabilities: float32 (C, H, W); None unless a form asks for them.
    """

    image: np.ndarray
    class_ids: np.ndarray
    probabilities: torch.Tensor | None


class Form(ABC):
    """A form of predictions; its files lie in a folder with its name."""

    name: ClassVar[str]
    suffix: ClassVar[str]
    needs_probabilities: ClassVar[bool] = False

    @abstractmethod
    def encode(self, prediction: Prediction, model: TakenModel) -> bytes:
        """Return the content of the file of a prediction."""


class Ids(Form):
    """Greyscale PNG whose values are class ids."""

    name = "ids"
    suffix = ".png"

    def encode(self, prediction: Prediction, model: TakenModel) -> bytes:
        """See `Form.encode`."""
        return _png(Image.fromarray(prediction.class_ids))


class Colors(Form):
    """Indexed PNG whose values are class ids and whose palette is the colours of the classes."""

    name = "colors"
    suffix = ".png"

    def encode(self, prediction: Prediction, model: TakenModel) -> bytes:
        """See `Form.encode`."""
        picture = Image.fromarray(prediction.class_ids, mode="P")
        picture.putpalette([value for color in model.colors for value in color])
        return _png(picture)


class Probabilities(Form):
    """NumPy archive with the array `probabilities`, float16 (C, H, W), and `class_names`."""

    name = "probabilities"
    suffix = ".npz"
    needs_probabilities = True

    def encode(self, prediction: Prediction, model: TakenModel) -> bytes:
        """See `Form.encode`."""
        assert prediction.probabilities is not None, "the caller computes what a form needs"
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            probabilities=prediction.probabilities.half().cpu().numpy(),
            class_names=np.array(model.class_names),
        )
        return buffer.getvalue()


class Overlay(Form):
    """JPEG of the image, tinted in the colours of the classes, with dark borders between them.

    It is smaller than the image if that has a longer side than JPEG can have.
    """

    name = "overlay"
    suffix = ".jpg"

    def encode(self, prediction: Prediction, model: TakenModel) -> bytes:
        """See `Form.encode`."""
        buffer = io.BytesIO()
        picture = Image.fromarray(overlay(prediction.image, prediction.class_ids, model.colors))
        if (times := -(-max(picture.size) // JPEG_SIDE)) > 1:
            picture = picture.reduce(times)
        picture.save(buffer, format="JPEG", quality=JPEG_QUALITY)
        return buffer.getvalue()


FORMS: Mapping[str, Form] = {
    form.name: form for form in (Ids(), Colors(), Probabilities(), Overlay())
}


def overlay(
    image: np.ndarray, class_ids: np.ndarray, colors: tuple[tuple[int, int, int], ...]
) -> np.ndarray:
    """Return an image tinted in the colours of its classes.

    Args:
        image: uint8 (H, W, 3).
        class_ids: uint8 (H, W).
        colors: red, green and blue of each class.

    Returns:
        uint8 (H, W, 3).
    """
    table, borders = np.array(colors, dtype=np.float32), _borders(class_ids)
    tinted = np.empty_like(image)
    for rows in row_strips(image.shape[0], image.shape[1]):
        mixed = (1 - COLOR_SHARE) * image[rows] + COLOR_SHARE * table[class_ids[rows]]
        mixed[borders[rows]] *= BORDER_SHARE
        tinted[rows] = mixed.round().astype(np.uint8)
    return tinted


def _borders(class_ids: np.ndarray) -> np.ndarray:
    """Return the pixels whose right or lower neighbour is of another class, bool (H, W)."""
    borders = np.zeros(class_ids.shape, dtype=bool)
    borders[:, :-1] |= class_ids[:, :-1] != class_ids[:, 1:]
    borders[:-1] |= class_ids[:-1] != class_ids[1:]
    return borders


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
