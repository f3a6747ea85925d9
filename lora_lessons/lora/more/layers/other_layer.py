"""The constructor that LoRA layers other than `Linear` share."""

from __future__ import annotations

from torch import nn

from ...config import LoraConfig
from ...layer import LoraLayer


class OtherLayer(LoraLayer, nn.Module):
    """A LoRA layer around a base layer, with its first adapter."""

    is_known = True

    def __init__(
        self,
        base_layer: nn.Module,
        adapter_name: str,
        config: LoraConfig,
        r: int,
        lora_alpha: float,
    ) -> None:
        nn.Module.__init__(self)
        LoraLayer.__init__(self, base_layer)
        base_layer.requires_grad_(False)
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, r, lora_alpha, config)
