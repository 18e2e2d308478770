"""The layout of the feature maps of one image in a record of bf16 numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ray_al.core.variants import MapSize
from ray_al.models.split import Maps


@dataclass(frozen=True)
class MapLayout:
    """Packs the feature maps of an image into a record and back.

    Attributes:
        sizes: sizes of the maps, from fine to coarse.
    """

    sizes: tuple[MapSize, ...]

    @staticmethod
    def of(maps: Maps) -> "MapLayout":
        """Return the layout of maps (N, c, h, w)."""
        return MapLayout(tuple(MapSize(*feature_map.shape[1:]) for feature_map in maps))

    @property
    def num_values(self) -> int:
        """Number of values in a record, of two bytes each."""
        return sum(size.num_values for size in self.sizes)

    def pack(self, maps: Maps) -> np.ndarray:
        """Pack maps (N, c, h, w) into records.

        Returns:
            uint16 (N, num_values): the bits of bf16 numbers, channels last, one map after another.
        """
        rows = [
            feature_map.detach().to(torch.bfloat16).permute(0, 2, 3, 1).flatten(1)
            for feature_map in maps
        ]
        packed: np.ndarray = torch.cat(rows, dim=1).view(torch.uint16).cpu().numpy()
        return packed

    def unpack(
        self, records: np.ndarray | Sequence[np.ndarray], device: torch.device | str = "cpu"
    ) -> Maps:
        """Return the maps of records.

        Args:
            records: uint16 (N, num_values), or N records of shape (num_values,).
            device: device of the maps.

        Returns:
            One bf16 tensor (N, c, h, w) per map, channels last in memory.
        """
        table = records if isinstance(records, np.ndarray) else np.stack(records)
        rows = torch.from_numpy(table).view(torch.bfloat16).to(device)
        maps = []
        start = 0
        for size in self.sizes:
            values = rows[:, start : start + size.num_values]
            maps.append(
                values.reshape(-1, size.height, size.width, size.channels).permute(0, 3, 1, 2)
            )
            start += size.num_values
        return tuple(maps)
