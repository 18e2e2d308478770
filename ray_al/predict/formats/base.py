"""What every file format of exported models offers."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
import torch

from ray_al.core.errors import ConfigError
from ray_al.predict.exported import ExportedNetwork

BATCH = "batch"
"""Name of the dimension that may have any size."""


class Format(ABC):
    """A file format of exported models."""

    name: ClassVar[str]
    suffix: ClassVar[str]
    packages: ClassVar[tuple[str, ...]] = ()
    """Packages that writing and checking a file need."""
    extra: ClassVar[str] = ""
    """The extra of this package that installs them."""

    def check_packages(self) -> None:
        """Refuse to begin without the packages.

        Raises:
            ConfigError: naming what is missing and how to install it.
        """
        missing = [package for package in self.packages if find_spec(package) is None]
        if missing:
            raise ConfigError(
                f"--format {self.name}: missing packages: {', '.join(missing)}; "
                f"pip install 'ray_al[{self.extra}]'"
            )

    @abstractmethod
    def encode(
        self, network: ExportedNetwork, example: torch.Tensor, metadata: Mapping[str, Any]
    ) -> bytes:
        """Return the content of a file.

        Args:
            network: in evaluation mode.
            example: images as the network takes them, at least two.
            metadata: what a user of the file must know, ready for JSON.

        Raises:
            Exception: of any kind, if the network cannot be exported.
        """

    @abstractmethod
    def outputs(self, data: bytes, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute images with the content of a file, as a user without ray_al would.

        Args:
            data: as `encode` returned it.
            images: uint8 (N, H, W, 3).

        Returns:
            Logits, float32 (N, C, H, W), and class ids, uint8 (N, H, W).
        """
