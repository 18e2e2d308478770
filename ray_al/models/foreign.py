"""Networks of other packages."""

from typing import Any

import torch
from torch import nn

from ray_al.core.errors import ConfigError


class ForeignSegmenter(nn.Module):
    """A network of another package, its output reduced to the logits."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network = network
        self.name = name

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of shape (N, C, h, w), from images of shape (N, 3, H, W)."""
        return self.logits_of(self.network(images))

    def logits_of(self, output: Any) -> torch.Tensor:
        """The logits in an output of the network: a tensor, a dict with `out`, or an object with `logits`.

        Raises:
            ConfigError: none of these, or not of shape (N, C, h, w).
        """
        if isinstance(output, dict) and "out" in output:
            output = output["out"]
        elif not isinstance(output, torch.Tensor):
            output = getattr(output, "logits", output)
        if not isinstance(output, torch.Tensor) or output.ndim != 4:
            message = f"model.name {self.name!r}: its output is a {type(output).__name__}"
            raise ConfigError(
                f"{message}; give a (N, C, h, w) tensor, a dict with 'out', or .logits"
            )
        return output
