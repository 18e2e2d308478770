"""The geometry of views: which pixel of the image each pixel of a view shows."""

from dataclasses import dataclass

import numpy as np

from ray_al.datasets.images import resize_image


@dataclass(frozen=True)
class ViewDraw:
    """One drawn view: scale the image, crop a window, mirror it, change contrast and colours.

    Attributes:
        size: height and width of the image and of the view, in pixels.
        scale: factor by which both sides of the image are scaled, at least 1.
        top: first row of the window in the scaled image.
        left: first column of the window in the scaled image.
        mirror: whether the window is flipped horizontally.
        contrast: factor applied to the difference from the image's mean.
        shift: grey levels (of 255) added to the first three channels.
    """

    size: tuple[int, int]
    scale: float = 1.0
    top: int = 0
    left: int = 0
    mirror: bool = False
    contrast: float = 1.0
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Return the view of an image; both are (H, W, C) of the same type, from 0 to 255."""
        height, width = self.size
        if self.scale != 1:
            scaled = resize_image(image, self._scaled_size())
            image = scaled[self.top : self.top + height, self.left : self.left + width]
        if self.mirror:
            image = image[:, ::-1]
        if self.contrast != 1 or any(self.shift):
            mean = image.mean()
            num_shifted = min(image.shape[2], len(self.shift))
            shift = np.zeros(image.shape[2])
            shift[:num_shifted] = self.shift[:num_shifted]
            values = ((image - mean) * self.contrast + mean + shift).clip(0, 255)
            values = values.round() if image.dtype == np.uint8 else values
            image = values.astype(image.dtype)
        return np.ascontiguousarray(image)

    def source_index(self) -> np.ndarray:
        """Return, for each pixel of the view, the flat index of the image pixel that it shows.

        `labels.ravel()[source_index]` gives the labels of the view, without any interpolation.

        Returns:
            int32 (H, W).
        """
        height, width = self.size
        scaled = self._scaled_size()
        rows = _nearest(np.arange(self.top, self.top + height), scaled[0], height)
        columns = _nearest(np.arange(self.left, self.left + width), scaled[1], width)
        index = (rows[:, None] * width + columns[None]).astype(np.int32)
        return np.ascontiguousarray(index[:, ::-1] if self.mirror else index)

    def _scaled_size(self) -> tuple[int, int]:
        return round(self.size[0] * self.scale), round(self.size[1] * self.scale)


def _nearest(positions: np.ndarray, scaled: int, size: int) -> np.ndarray:
    """Map pixels of a side of `scaled` pixels to the nearest pixels of a side of `size` pixels.

    Distances are taken between the centres of the pixels.
    """
    return np.minimum(((positions + 0.5) * size / scaled).astype(np.int64), size - 1)
