"""LoRA on transformers' Conv1D: a linear layer (GPT-2's) that stores W as (in, out)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...layer import Linear


class Conv1DLinear(Linear):
    """As `Linear`, with the update transposed into W's layout: what `fan_in_fan_out` means."""

    fan_in_fan_out = True
    output_dim = 1

    @staticmethod
    def _sizes(base: Any) -> tuple[Any, Any]:
        in_, out = base.weight.shape
        return in_, out

    def _get_name(self) -> str:
        return "Linear"  # PEFT's name for it

    def plain_delta(self, name: str) -> Tensor:
        """The update in the weight's own layout, in float32 at least, without a variant's part."""
        return super().plain_delta(name).T  # (out, in) -> (in, out)

    def output_rows(self, weight: Tensor) -> Tensor:
        """(in, out) -> (out, in)."""
        return weight.T
