"""Adapters without memory, made so that loading a file needs no initial values."""

from __future__ import annotations

import torch
from torch import nn

from ..trainable import adapter_holders


def materialize(model: nn.Module, adapter_name: str) -> None:
    """Give an adapter's meta tensors memory on the device of their layer; values come after."""
    for holder in adapter_holders(model):
        for attribute in holder.adapter_layer_names:
            parts = getattr(holder, attribute)
            if adapter_name not in parts:
                continue
            part = parts[adapter_name]
            tensors = [part] if isinstance(part, nn.Parameter) else list(part.parameters())
            if not any(tensor.is_meta for tensor in tensors):
                continue
            device = holder.get_base_layer().weight.device
            if isinstance(part, nn.Parameter):
                empty = torch.empty_like(part, device=device)
                parts[adapter_name] = nn.Parameter(empty, part.requires_grad)
            else:
                part.to_empty(device=device)
