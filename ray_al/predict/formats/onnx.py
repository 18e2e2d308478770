"""ONNX files, which onnxruntime and many other programs compute."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ray_al.predict.exported import OUTPUTS, ExportedNetwork
from ray_al.predict.formats.base import BATCH, Format

OPSET = 18
"""Version of ONNX's operators: the first that PyTorch's exporter writes without a conversion."""


class OnnxFormat(Format):
    """An ONNX model; each entry of the metadata is a property of the model, as JSON text."""

    name = "onnx"
    suffix = ".onnx"
    packages = ("onnx", "onnxscript", "onnxruntime")
    extra = "onnx"

    def encode(
        self, network: ExportedNetwork, example: torch.Tensor, metadata: Mapping[str, Any]
    ) -> bytes:
        """See `Format.encode`."""
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            dynamic_shapes={"images": {0: BATCH}},
            input_names=["images"],
            output_names=list(OUTPUTS),
            opset_version=OPSET,
            verbose=False,
        )
        assert program is not None, "the exporter of dynamo returns a program"
        proto = program.model_proto
        for key, value in metadata.items():
            entry = proto.metadata_props.add()
            entry.key, entry.value = key, value if isinstance(value, str) else json.dumps(value)
        for node in proto.graph.node:
            del node.metadata_props[:]  # where this machine keeps the code of each step
        data: bytes = proto.SerializeToString()
        return data

    def outputs(self, data: bytes, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Format.outputs`."""
        import onnxruntime  # an optional package

        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        logits, class_ids = session.run(list(OUTPUTS), {"images": images})
        return logits, class_ids
