"""LoRA on transformers' Conv1D: a linear layer (GPT-2's) that stores W as (in, out)."""

from __future__ import annotations

from torch import Tensor, nn

from ...layer import Linear


class Conv1DLinear(Linear):
    """As `Linear`, with the update transposed into W's layout: what `fan_in_fan_out` means."""

    fan_in_fan_out = True
    output_dim = 1

    @staticmethod
    def _sizes(base: nn.Module) -> tuple[int | None, int | None]:
        return tuple(base.weight.shape)

    def _get_name(self) -> str:
        return "Linear"  # PEFT's name for it

    def plain_delta(self, name: str) -> Tensor:
        return super().plain_delta(name).T  # (out, in) -> (in, out)

    def output_rows(self, weight: Tensor) -> Tensor:
        """(in, out) -> (out, in)."""
        return weight.T
