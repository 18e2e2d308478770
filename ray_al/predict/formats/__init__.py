"""The file formats of exported models."""

from collections.abc import Mapping

from ray_al.predict.formats.base import Format
from ray_al.predict.formats.onnx import OnnxFormat
from ray_al.predict.formats.torch import TorchFormat

FORMATS: Mapping[str, Format] = {form.name: form for form in (OnnxFormat(), TorchFormat())}
