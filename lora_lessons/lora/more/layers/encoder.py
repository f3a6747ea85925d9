"""LoRA inside `nn.TransformerEncoderLayer`, whose fast path reads weights and calls no layer.

In evaluation, where nothing needs a gradient, torch computes the whole layer in one kernel from the
weights of linear1, linear2 and the attention. There a plain LoRA layer would be passed by, unseen.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...layer import Linear
from ...merge import base_values, merged_values
from ...plugs import CHILDREN


class EncoderLinear(Linear):
    """As `Linear`; and whoever reads its weight or bias gets them with the updates in use."""

    def _get_name(self) -> str:
        return "Linear"

    @property
    def weight(self) -> Tensor:
        """W with the updates in use."""
        weight: Tensor = self._in_use("weight")
        return weight

    @property
    def bias(self) -> Any:
        """The bias, with that of B under `lora_bias`."""
        return self._in_use("bias")

    def _in_use(self, key: str) -> Any:
        """The base's tensor, merged with the adapters in use; the base itself keeps its own.

        Where an adapter is to get a gradient the result asks for one too: then the fast path, which
        has none to give, is not taken.
        """
        adapters = self.adapters_in_use()
        value = getattr(self.get_base_layer(), key)
        if not adapters or value is None or value.is_meta:
            return value
        names = [adapter.name for adapter in adapters]
        merged = merged_values(self, names, base_values(self)).get(key, value.detach())
        trains = any(
            parameter.requires_grad
            for name, part in self._adapter_parts()
            for parameter in ([part] if isinstance(part, Tensor) else part.parameters())
            if name in names
        )
        return merged.requires_grad_() if trains and torch.is_grad_enabled() else merged


for child in ("linear1", "linear2"):
    CHILDREN[nn.TransformerEncoderLayer, child] = EncoderLinear
