"""A trained network made fast for scoring, without changing what is chosen."""

import logging
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from ray_al.models.build import ForeignSegmenter

logger = logging.getLogger(__name__)
Precision = Literal["auto", "fp32", "bf16", "reference"]


def resolve_precision(precision: Precision) -> Literal["fp32", "bf16", "reference"]:
    """`auto` is bf16 where the processor computes in it, else fp32."""
    if precision != "auto":
        return precision
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return "bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "fp32"


def prepare_network(model: nn.Module, precision: Literal["fp32", "bf16", "reference"], device: torch.device | str) -> nn.Module:
    """Evaluation mode; unless `reference`: channels last, convolution and batch norm folded, bf16 weights where asked for."""
    model = model.eval().to(device)
    if precision == "reference":
        return model
    model = _fold(model).to(memory_format=torch.channels_last)
    return model.to(torch.bfloat16) if precision == "bf16" else model


def _fold(model: nn.Module) -> nn.Module:
    from torch.fx.experimental.optimization import fuse

    try:
        if isinstance(model, ForeignSegmenter):  # what it does with the output's type cannot be traced
            model.network = fuse(model.network)
            return model
        return fuse(model)
    except Exception as error:  # whatever a network does that cannot be traced, it still scores, only slower
        logger.warning("batch norm is not folded, the network cannot be traced: %s", error)
        return model
