"""Batches of images as networks take them: pixels, or features of a frozen backbone."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ray_al.acquisition.transforms import apply
from ray_al.core.config.pixels import Normalize
from ray_al.features.layout import MapLayout
from ray_al.models import images_to_tensor
from ray_al.models.split import Maps

NetworkInput = torch.Tensor | Maps
"""Images (N, 3, H, W), or their feature maps (N, c, h, w) from fine to coarse."""


@dataclass(frozen=True)
class InputFormat:
    """How a prepared network wants its input.

    Attributes:
        device: where it computes.
        memory_format: of its convolutions.
        dtype: of feature maps; images are float32 at any precision.
    """

    device: str
    memory_format: torch.memory_format
    dtype: torch.dtype


class Inputs(ABC):
    """A batch of images; the input made from one image never depends on the others."""

    @abstractmethod
    def plain(self) -> NetworkInput:
        """Return the images as they are."""

    @abstractmethod
    def transformed(self, name: str) -> NetworkInput:
        """Return the images after a transform of `acquisition/transforms.py`."""


class ImageInputs(Inputs):
    """Decoded images.

    Args:
        images: uint8 or float32 (N, H, W, C), from 0 to 255.
        normalize: `data.normalize`.
        form: how the network wants them.
    """

    def __init__(self, images: np.ndarray, normalize: Normalize, form: InputFormat) -> None:
        self.images, self.normalize, self.form = images, normalize, form

    def plain(self) -> torch.Tensor:
        """Return normalised pixels, float32 (N, C, H, W)."""
        form = self.form
        return images_to_tensor(self.images, self.normalize, form.device, form.memory_format)

    def transformed(self, name: str) -> torch.Tensor:
        """Return normalised pixels of the transformed images; a quarter turn swaps the sides."""
        return apply(name, self.plain()).contiguous(memory_format=self.form.memory_format)


class Features(Inputs):
    """Feature maps of images from a frozen backbone.

    Args:
        records: N of the images as they are, uint16 (num_values,) each.
        layout: of the records.
        form: how the head wants the maps.
        views: records of transformed images by the transform's name, as far as there are any.
        pixels: the images themselves, for transforms missing in `views`; None if not needed.
        backbone: normalised images (N, 3, h, w) of any size -> their maps in bf16.
    """

    def __init__(
        self,
        records: Sequence[np.ndarray],
        layout: MapLayout,
        form: InputFormat,
        *,
        views: Mapping[str, Sequence[np.ndarray]],
        pixels: ImageInputs | None = None,
        backbone: Callable[[torch.Tensor], Maps],
    ) -> None:
        self.records, self.layout, self.form = records, layout, form
        self.views, self.pixels, self.backbone = views, pixels, backbone

    def plain(self) -> Maps:
        """Return maps (N, c, h, w), from fine to coarse."""
        return self._formed(self.layout.unpack(self.records, self.form.device))

    def transformed(self, name: str) -> Maps:
        """Return the maps of transformed images.

        They come from the records of a view, or through the backbone.
        """
        if name in self.views:
            return self._formed(self.layout.unpack(self.views[name], self.form.device))
        assert self.pixels is not None, f"the images are needed to {name} them"
        return self._formed(self.backbone(self.pixels.transformed(name)))

    def _formed(self, maps: Maps) -> Maps:
        form = self.form
        return tuple(
            values.to(form.dtype).contiguous(memory_format=form.memory_format) for values in maps
        )
