"""How the feature maps of one image lie in a record of bf16 numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ray_al.core.variants import MapSize
from ray_al.models.split import Maps


@dataclass(frozen=True)
class MapLayout:
    """The sizes of an image's maps, from fine to coarse."""

    sizes: tuple[MapSize, ...]

    @staticmethod
    def of(maps: Maps) -> "MapLayout":
        return MapLayout(tuple(MapSize(*one.shape[1:]) for one in maps))

    @property
    def num_values(self) -> int:
        """Numbers of a record, of two bytes each."""
        return sum(size.num_values for size in self.sizes)

    def pack(self, maps: Maps) -> np.ndarray:
        """Maps (N, c, h, w) as records, uint16 (N, num_values): the bits of bf16, channels last."""
        rows = [one.detach().to(torch.bfloat16).permute(0, 2, 3, 1).flatten(1) for one in maps]
        packed: np.ndarray = torch.cat(rows, dim=1).view(torch.uint16).cpu().numpy()
        return packed

    def unpack(
        self, records: np.ndarray | Sequence[np.ndarray], device: torch.device | str = "cpu"
    ) -> Maps:
        """Maps (N, c, h, w) in bf16, channels last, of records, uint16 (N, num_values)."""
        rows = (
            torch.from_numpy(records if isinstance(records, np.ndarray) else np.stack(records))
            .view(torch.bfloat16)
            .to(device)
        )
        maps, start = [], 0
        for size in self.sizes:
            part = rows[:, start : start + size.num_values]
            maps.append(
                part.reshape(-1, size.height, size.width, size.channels).permute(0, 3, 1, 2)
            )
            start += size.num_values
        return tuple(maps)
