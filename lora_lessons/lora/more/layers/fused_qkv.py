"""LoRA on a fused qkv projection, with a rank of its own for each of q, k and v.

A plain adapter on a fused layer shares A's rows among q, k and v. Here each part has its own rows
of A and its own block of B; a part of rank 0 is switched off. Microsoft's MergedLinear does so with
one rank for all parts; PEFT has none. In a file it is a plain adapter of the summed rank whose B is
zero outside the blocks, so that PEFT loads it and computes the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....errors import ConfigError, did_you_mean
from ...arithmetic import at_least_float32, lora_delta
from ...config import LoraConfig
from ...layer import Linear
from ...tuner_layer import base_of
from .hf_conv1d import Conv1DLinear

if TYPE_CHECKING:
    _Linear = Linear
else:
    _Linear = object  # a mixin for both layouts: see `fused_qkv`


class BlockLinear(nn.Linear):
    """A linear layer without bias of which only some blocks are used and trained."""

    mask: Tensor

    def __init__(self, in_features: int, out_features: int, mask: Tensor) -> None:
        super().__init__(in_features, out_features, bias=False)
        self.register_buffer("mask", mask, persistent=False)  # (out, in) of ones and zeros
        with torch.no_grad():
            self.weight.mul_(mask)

    def forward(self, x: Tensor) -> Tensor:
        """B's product, with the rows of parts that are switched off at zero."""
        return F.linear(x, self.weight * self.mask.to(self.weight.dtype))


def fused_qkv(
    config: LoraConfig, sizes: dict[str, int], ranks: dict[str, int], repeats: int = 1
) -> None:
    """Make a config treat its target_modules as fused projections.

    `sizes`: the widths of the parts in the order of the outputs, {"q": 64, "k": 16, "v": 16}.
    `ranks`: the rank of each part, 0 or left out for none; they add up to `config.r`, and every
    part is scaled by lora_alpha / r. `repeats`: how often the parts follow each other: GPT-NeoX and
    BLOOM have q, k, v of the first head, then of the second, and so on.
    """
    from transformers.pytorch_utils import Conv1D

    _check(config, sizes, ranks)
    layout = {"parts": dict(sizes), "part_ranks": dict(ranks), "repeats": repeats}
    config._register_custom_module(
        {
            nn.Linear: type("FusedQKVLinear", (FusedQKV, Linear), layout),
            Conv1D: type("FusedQKVConv1D", (FusedQKV, Conv1DLinear), layout),
        }
    )


def _check(config: LoraConfig, sizes: dict[str, int], ranks: dict[str, int]) -> None:
    """Raise for unknown parts, ranks that are none, and what blocks cannot have."""
    for part in ranks.keys() - sizes.keys():
        raise ConfigError(f"no part is called {part!r}: {list(sizes)}.{did_you_mean(part, sizes)}")
    if any(r < 0 for r in ranks.values()) or sum(ranks.values()) != config.r:
        raise ConfigError(
            f"the ranks {ranks} must be 0 or more and add up to r={config.r}: lora_alpha / r "
            "scales all parts"
        )
    if config.lora_bias or config.use_dora or config.rank_pattern:
        raise ConfigError("a fused projection has no lora_bias, no DoRA and no rank_pattern")
    if config.init_lora_weights not in (True, False, "gaussian"):
        raise ConfigError(
            f"init_lora_weights={config.init_lora_weights!r} makes no blocks: use True, False or "
            '"gaussian" for a fused projection'
        )


class FusedQKV(_Linear):
    """What both layouts share: which block belongs to which part, and an update that obeys it."""

    parts: dict[str, int]
    part_ranks: dict[str, int]
    repeats: int

    @classmethod
    def check(cls, name: str, module: nn.Module, config: LoraConfig, r: int) -> None:
        """Raise unless the parts' widths add up to the layer's."""
        width = cls._sizes(base_of(module))[1]
        if sum(cls.parts.values()) * cls.repeats != width:
            raise ConfigError(
                f"{name} has {width} outputs, and the parts {cls.parts} x {cls.repeats} have "
                f"{sum(cls.parts.values()) * cls.repeats}"
            )

    def block_mask(self) -> Tensor:
        """(out, r): one where an output's part owns the row of A."""
        ranks = [self.part_ranks.get(part, 0) for part in self.parts]
        blocks = map(torch.ones, self.parts.values(), ranks)
        return torch.block_diag(*blocks).repeat(self.repeats, 1)

    def _make_factors(self, adapter_name: str, r: int, config: LoraConfig) -> None:
        self.lora_A[adapter_name] = nn.Linear(self.in_features, r, bias=False)
        self.lora_B[adapter_name] = BlockLinear(r, self.out_features, self.block_mask())

    def reset_lora_parameters(
        self, adapter_name: str, init_lora_weights: bool | str = True
    ) -> None:
        """A and B as everywhere, and the mask, which no file holds."""
        super().reset_lora_parameters(adapter_name, init_lora_weights)
        self.adapter(adapter_name).B.mask.copy_(self.block_mask())

    def plain_delta(self, name: str) -> Tensor:
        """The update in the weight's own layout, in float32 at least, without a variant's part."""
        _, A, B, scaling, _ = self.adapter(name)
        B = at_least_float32(B.weight * B.mask.to(B.weight.dtype))
        delta = lora_delta(at_least_float32(A.weight), B, scaling)
        return self.output_rows(delta)  # (out, in), or transposed as W is
