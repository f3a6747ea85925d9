"""LoRA-FA: A stays as it was drawn, and B alone is trained (Zhang et al. 2023).

B's gradient needs A x, r numbers a token, and not x, which A's gradient alone needs: so x need not
be kept for the backward pass. The update stays in the rows that A was drawn with.
"""

from __future__ import annotations

from torch import nn


def freeze_A(model: nn.Module) -> int:
    """Freeze every trained A of LoRA, ours or PEFT's, and return how many numbers that are.

    Call it after `get_peft_model`, and again after an adapter was switched, which lets the active
    one train. Raises ValueError, before anything is changed, where no A trains, and where an A is
    zero as an embedding's is at the start: nothing would ever be learnt there.
    """
    factors = {
        name: parameter
        for name, parameter in model.named_parameters()
        if not {"lora_A", "lora_embedding_A"}.isdisjoint(name.split("."))
        and parameter.requires_grad
    }
    if not factors:
        raise ValueError("there is no trained A to freeze: add adapters with get_peft_model first")
    zero = [name for name, parameter in factors.items() if not parameter.any()]
    if zero:
        raise ValueError(f"{zero[0]} is zero: frozen, its layer would never learn anything")
    for parameter in factors.values():
        parameter.requires_grad_(False)
    return sum(parameter.numel() for parameter in factors.values())
