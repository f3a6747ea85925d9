"""Initialisations of A and B beyond a random A and a zero B: orthogonal, PiSSA, OLoRA."""

from __future__ import annotations

from torch import nn

from ...layer import LoraLayer, at_least_float32
from .orthogonal import orthogonal_factors
from .principal import olora_factors, pissa_factors, take_out


def initialize(layer: LoraLayer, adapter_name: str, init: str) -> None:
    """Fill a linear layer's A and B; PiSSA and OLoRA take their part out of W."""
    r = layer.r[adapter_name]
    if init == "orthogonal":
        B, A = orthogonal_factors(layer.in_features, layer.out_features, r)
    else:
        weight = at_least_float32(layer.float_weight(init))
        weight = layer.output_rows(weight)  # (out, in)
        make = olora_factors if init == "olora" else pissa_factors
        B, A = make(weight, r, layer.scaling[adapter_name], init)
    layer.lora_A[adapter_name].weight = nn.Parameter(A.contiguous())
    layer.lora_B[adapter_name].weight = nn.Parameter(B.contiguous())
    if init != "orthogonal":
        take_out(layer, adapter_name)
