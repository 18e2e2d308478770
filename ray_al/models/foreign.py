"""Wrap networks of other packages."""

import torch
from torch import nn

from ray_al.core.errors import ConfigError


class ForeignSegmenter(nn.Module):
    """A network of another package whose output is reduced to the logits.

    Args:
        network: of the other package.
        name: `model.name`, for messages.
    """

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network = network
        self.name = name

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (N, C, h, w) of images (N, 3, H, W)."""
        return self.logits_of(self.network(images))

    def logits_of(self, output: object) -> torch.Tensor:
        """Return the logits in an output of the network.

        Args:
            output: a tensor, a dict with `out`, or an object with `logits`.

        Raises:
            ConfigError: it is none of these, or its shape is not (N, C, h, w).
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
