"""LoRA on transformers' Conv1D: a linear layer (GPT-2's) that stores W as (in, out)."""

from __future__ import annotations

import warnings

from torch import Tensor, nn

from ..config import LoraConfig
from ..errors import PeftWarning
from ..layer import Linear


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


def is_hf_conv1d(module: nn.Module) -> bool:
    """True for transformers' Conv1D; transformers is not imported to find out."""
    return any(
        kind.__name__ == "Conv1D" and kind.__module__ == "transformers.pytorch_utils"
        for kind in type(module).__mro__
    )


def correct_fan_in_fan_out(kinds: set[type[nn.Module]], config: LoraConfig) -> None:
    """Set the config's fan_in_fan_out to what the targets' layout is, with a warning."""
    if Conv1DLinear in kinds and not config.fan_in_fan_out:
        said, target, right = False, "`Conv1D`", True
    elif Linear in kinds and Conv1DLinear not in kinds and config.fan_in_fan_out:
        said, target, right = True, "`torch.nn.Linear`", False
    else:
        return
    config.fan_in_fan_out = right
    warnings.warn(
        f"fan_in_fan_out is set to {said} but the target module is {target}. Setting "
        f"fan_in_fan_out to {right}.",
        PeftWarning,
        stacklevel=5,
    )
