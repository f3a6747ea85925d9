"""Adapters without memory, made so that no base model waits for their initial values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...layer import LoraLayer
from ...plugs import METHODS
from ...tuner_layer import named_holders


def materialize(model: nn.Module, adapter_name: str) -> None:
    """Give an adapter's meta tensors memory on the device of their layer, and a start.

    A file's values come after. Where it lacks some, empty memory would hold anything.
    """
    for _, holder in named_holders(model):
        given = [_give_memory(holder, parts, adapter_name) for parts in _parts(holder)]
        if any(given) and isinstance(holder, LoraLayer):
            holder.reset_lora_parameters(adapter_name)
            if adapter_name in holder.lora_variant:
                holder.lora_variant[adapter_name].reset(holder, adapter_name)


def _parts(holder: Any) -> list[Any]:
    """The holder's dicts by adapter name."""
    return [getattr(holder, attribute) for attribute in holder.adapter_layer_names]


def _give_memory(holder: Any, parts: Any, adapter_name: str) -> bool:
    """Replace one part's meta tensors by empty ones; False where it has none."""
    if adapter_name not in parts:
        return False
    part = parts[adapter_name]
    tensors = [part] if isinstance(part, nn.Parameter) else list(part.parameters())
    if not any(tensor.is_meta for tensor in tensors):
        return False
    base = holder.get_base_layer()
    weight = getattr(base, getattr(holder, "weight_name", "weight"))
    device = device_of_hook(base, weight) if weight.is_meta else weight.device
    if isinstance(part, nn.Parameter):
        empty = torch.empty_like(part, device=device)
        parts[adapter_name] = nn.Parameter(empty, part.requires_grad)
    else:
        part.to_empty(device=device)
    return True


def device_of_hook(base: Any, weight: Tensor) -> torch.device:
    """Where an offloaded weight is computed with: accelerate's hook brings it there."""
    hook = getattr(base, "_hf_hook", None)
    return torch.device(getattr(hook, "execution_device", None) or weight.device)


METHODS["materialize"] = materialize
METHODS["device_of_hook"] = device_of_hook
