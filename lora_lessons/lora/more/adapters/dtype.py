"""Adapters in float32 on a base of fewer bits: small updates would vanish in rounding."""

from __future__ import annotations

import torch
from torch import nn

from ...layer import LoraLayer
from ...trainable import adapter_parameters


def cast_adapter_dtype(
    model: nn.Module, adapter_name: str, autocast_adapter_dtype: bool = True
) -> None:
    """Turn an adapter's float16 and bfloat16 factors into float32.

    Saved modules keep their dtype: their inputs come as the base makes them.
    """
    layers = (
        [m for m in model.modules() if isinstance(m, LoraLayer)] if autocast_adapter_dtype else []
    )
    for layer in layers:
        for name, parameter in adapter_parameters(layer):
            if name == adapter_name and parameter.dtype in (torch.float16, torch.bfloat16):
                parameter.data = parameter.data.float()
