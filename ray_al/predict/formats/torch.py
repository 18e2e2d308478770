"""Programs of `torch.export`, which PyTorch alone loads and computes."""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ray_al.predict.exported import ExportedNetwork
from ray_al.predict.formats.base import BATCH, Format

METADATA = "metadata.json"
"""Name of the metadata among the extra files of the program."""


class TorchFormat(Format):
    """A program of `torch.export`; the metadata is its extra file `metadata.json`."""

    name = "torch"
    suffix = ".pt2"

    def encode(
        self, network: ExportedNetwork, example: torch.Tensor, metadata: Mapping[str, Any]
    ) -> bytes:
        """See `Format.encode`."""
        batch = torch.export.Dim(BATCH)
        with torch.no_grad():
            program = torch.export.export(
                network, (example,), dynamic_shapes={"images": {0: batch}}
            )
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # where this machine keeps the code of each step
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files={METADATA: json.dumps(metadata)})
        return buffer.getvalue()

    def outputs(self, data: bytes, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Format.outputs`."""
        program = torch.export.load(io.BytesIO(data))
        with torch.inference_mode():
            logits, class_ids = program.module()(torch.from_numpy(images))
        return logits.numpy(), class_ids.numpy()
