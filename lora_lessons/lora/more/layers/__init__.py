"""LoRA on other layers than linear ones: which class wraps which module."""

from __future__ import annotations

from torch import nn

from ...plugs import LAYERS
from . import (
    attention,
    bitsandbytes_on_cpu,
    default_targets,
    encoder,
    fused_qkv,
    parameters,
    quantized,
)
from .conv import Conv1d, Conv2d, Conv3d
from .embedding import Embedding
from .hf_conv1d import Conv1DLinear

LAYERS[nn.Embedding] = Embedding
LAYERS[nn.Conv1d] = Conv1d
LAYERS[nn.Conv2d] = Conv2d
LAYERS[nn.Conv3d] = Conv3d
LAYERS["transformers.pytorch_utils.Conv1D"] = Conv1DLinear  # by name: it is not imported

__all__ = [
    "Conv1DLinear",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "Embedding",
    "attention",
    "bitsandbytes_on_cpu",
    "default_targets",
    "encoder",
    "fused_qkv",
    "parameters",
    "quantized",
]
