"""The factor in front of the update: alpha / r, or alpha / sqrt(r)."""

from __future__ import annotations

import math


def lora_scaling(alpha: float, r: int, use_rslora: bool = False) -> float:
    """The factor s in W + s B A.

    LoRA: s = alpha / r (Hu et al. 2021, section 4.1).
    rsLoRA: s = alpha / sqrt(r), which keeps the size of the update's gradient
    independent of the rank (Kalajdzievski 2023, theorem 3.2).
    """
    return alpha / math.sqrt(r) if use_rslora else alpha / r
