"""LoRA on a fused qkv projection, with a rank of its own for each of q, k and v.

A plain adapter on a fused layer shares A's rows among q, k and v. Here each part has its own rows
of A, and its own block of B: B is block-diagonal, and a part of rank 0 is switched off. In a file
it is a plain adapter of the summed rank, so that PEFT loads it and computes the same.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import LoraConfig
from ..errors import ConfigError
from ..layer import Linear, at_least_float32
from ..lora_math import lora_delta
from .hf_conv1d import Conv1DLinear, is_hf_conv1d


class BlockLinear(nn.Linear):
    """A linear layer without bias of which only some blocks are used and trained."""

    def __init__(self, in_features: int, out_features: int, mask: Tensor) -> None:
        super().__init__(in_features, out_features, bias=False)
        self.register_buffer("mask", mask, persistent=False)
        with torch.no_grad():
            self.weight.mul_(mask)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask)


def fused_qkv(
    config: LoraConfig, sizes: dict[str, int], ranks: dict[str, int]
) -> dict[type[nn.Module], type[nn.Module]]:
    """Make a config wrap its targets as fused projections.

    `sizes` are the widths of the parts in their order, {"q": 64, "k": 16, "v": 16}; `ranks` the
    rank of each, 0 or left out for none. The ranks must add up to `config.r`, and every part is
    scaled by alpha / r of the config. Returns the mapping that was registered.
    """
    from transformers.pytorch_utils import Conv1D

    unknown = set(ranks) - set(sizes)
    if unknown or any(r < 0 for r in ranks.values()) or sum(ranks.values()) != config.r:
        raise ConfigError(
            f"the ranks {ranks} must be those of {list(sizes)} and add up to r={config.r}"
        )
    if config.lora_bias or config.use_dora:
        raise ConfigError("a fused projection has no lora_bias and no DoRA")

    class FusedQKVLinear(_FusedQKV, Linear):
        parts, part_ranks = sizes, ranks

    class FusedQKVConv1D(_FusedQKV, Conv1DLinear):
        parts, part_ranks = sizes, ranks

    mapping = {nn.Linear: FusedQKVLinear, Conv1D: FusedQKVConv1D}
    config._register_custom_module(mapping)
    return mapping


class _FusedQKV:
    """What both layouts share: the mask, and an update that obeys it."""

    parts: dict[str, int]
    part_ranks: dict[str, int]

    @classmethod
    def check(cls, name: str, module: nn.Module, config: LoraConfig, r: int) -> None:
        """Raise unless the parts' widths add up to the layer's."""
        base = module.get_base_layer() if hasattr(module, "get_base_layer") else module
        width = base.weight.shape[1 if is_hf_conv1d(base) else 0]
        if sum(cls.parts.values()) != width or r != sum(cls.part_ranks.values()):
            raise ConfigError(
                f"{name} has {width} outputs and rank {r}; the parts are {cls.parts} with ranks "
                f"{cls.part_ranks}"
            )

    def block_mask(self) -> Tensor:
        """(out, r): one where an output's part owns the row of A."""
        blocks = [
            torch.ones(size, self.part_ranks.get(part, 0)) for part, size in self.parts.items()
        ]
        return torch.block_diag(*blocks)

    def _make_factors(self, adapter_name: str, r: int, config: LoraConfig) -> None:
        self.lora_A[adapter_name] = nn.Linear(self.in_features, r, bias=False)
        self.lora_B[adapter_name] = BlockLinear(r, self.out_features, self.block_mask())

    def plain_delta(self, name: str) -> Tensor:
        adapter = self.adapter(name)
        A = at_least_float32(adapter.A.weight)
        B = at_least_float32(adapter.B.weight * adapter.B.mask)
        delta = lora_delta(A, B, adapter.scaling)  # (out, in)
        return delta.T if self.fan_in_fan_out else delta
