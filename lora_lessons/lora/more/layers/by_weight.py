"""LoRA where W itself is read, and no layer is called: the update goes through the weight.

A layer of experts, or torch's attention, computes with its own Parameters. There the base gets
W + the sum of the updates in W's place while it computes, rounded once, as a merged W is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ....errors import ConfigError
from ...arithmetic import lora_delta
from ...config import LoraConfig
from ...layer import Adapter
from .other_layer import OtherLayer

INITS = (True, False, "gaussian")  # the others need the product, or a matrix of a layer's own


def wide(tensor: Tensor) -> Tensor:
    """The tensor in float32 unless it is wider, with its gradient."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


class ByWeight(OtherLayer):
    """A LoRA layer whose base computes with W + scaling · B A, of W's own shape and dtype.

    Nothing else differs, but for what needs the product with x: lora_dropout, and one adapter for
    each sample of a batch.
    """

    def delta(self, adapter: Adapter) -> Tensor:
        """scaling · B A in W's shape, in float32 at least, with its gradient."""
        return lora_delta(wide(adapter.A.weight), wide(adapter.B.weight), adapter.scaling)

    def plain_delta(self, name: str) -> Tensor:
        """The update in W's shape, in float32 at least, without its gradient."""
        return self.delta(self.adapter(name)).detach()

    def weight_in_use(self) -> Tensor:
        """W with the updates of the adapters in use, which is bit for bit the merged W."""
        adapters = {adapter.name: adapter for adapter in self.adapters_in_use()}
        W: Tensor = self.base_weight
        if not adapters:
            return W
        with torch.autocast(W.device.type, enabled=False):
            total = W  # in float32 from the first sum on
            for name in sorted(adapters):  # in the order of merging
                total = total + self.delta(adapters[name]).to(W.device)
        return total.to(W.dtype)

    def check_rows(self, adapter_names: Iterable[str]) -> None:
        """Refuse samples with adapters that are here: they all see one W."""
        super().check_rows(adapter_names)
        if here := [name for name in adapter_names if self.has_adapter(name)]:
            raise ValueError(
                f"lora.{self._get_name()} does not support mixed adapter batches: {here[0]!r} "
                f"changes {self.weight_name}, which all samples share. Make it the active adapter."
            )

    def __getattr__(self, name: str) -> Any:
        try:
            return nn.Module.__getattr__(self, name)
        except AttributeError:
            if name == "base_layer":
                raise
            return getattr(self.base_layer, name)


def refuse_products(config: LoraConfig, where: str) -> None:
    """Raise ConfigError for what needs the layer's product with x, which is not computed there.

    A trained file may say lora_dropout, which its use has not.
    """
    wrong = {
        "lora_dropout": bool(config.lora_dropout) and not config._is_trained,
        "lora_bias": config.lora_bias,
        "use_dora": config.use_dora,
        "init_lora_weights": config.init_lora_weights not in INITS,
    }
    for name in filter(wrong.get, wrong):
        raise ConfigError(
            f"{where} cannot have {name}={getattr(config, name)!r}: LoRA changes a weight there "
            "and computes no product with the input. "
            + (
                'Use True, False or "gaussian".'
                if name == "init_lora_weights"
                else f"Leave {name} at its default, or give these weights an adapter of their own."
            )
        )
