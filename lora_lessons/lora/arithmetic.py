"""LoRA as plain arithmetic on tensors: no modules, no state.

Shapes follow `torch.nn.Linear`: a weight W is (out, in), the down-projection A is (r, in)
and the up-projection B is (out, r).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def lora_scaling(alpha: float, r: int, use_rslora: bool = False) -> float:
    """The factor s in W + s B A.

    LoRA: s = alpha / r (Hu et al. 2021, section 4.1).
    rsLoRA: s = alpha / sqrt(r), which keeps the size of the update's gradient
    independent of the rank (Kalajdzievski 2023, theorem 3.2).
    """
    return alpha / math.sqrt(r) if use_rslora else alpha / r


def lora_delta(A: Tensor, B: Tensor, scaling: float) -> Tensor:
    """The update that LoRA adds to the weight: ΔW = scaling · B A, of shape (out, in).

    Its rank is at most r (Hu et al. 2021, section 4.1).
    """
    return scaling * (B @ A)  # (out, r) @ (r, in) -> (out, in)


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor without its gradient, in float32 unless it is wider."""
    tensor = tensor.detach()
    return tensor if tensor.dtype == torch.float64 else tensor.float()
