"""The task that most experiments share: a base, and Moby Dick to train and to validate on."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..base.load import load_base
from ..base.text import load_text
from ..base.tokens import blocks, encode

_IDS: dict[str, tuple[Tensor, Tensor]] = {}
"""A base's Moby Dick, in tokens: encoding it takes a second, and a notebook asks several times."""


def load_task(
    base: str,
    length: int,
    device: str | torch.device,
    dtype: torch.dtype = torch.float32,
    valid_blocks: int | None = None,
) -> tuple[nn.Module, Tensor, Tensor]:
    """Return the base, Moby Dick's training ids (n,) and its validation blocks (m, length)."""
    model, tokenizer = load_base(base, dtype=dtype, device=device)
    if base not in _IDS:
        corpus = load_text("moby_dick")
        _IDS[base] = encode(tokenizer, corpus.train), encode(tokenizer, corpus.valid)
    train, valid = _IDS[base]
    return model, train, blocks(valid, length)[:valid_blocks]


def as_loss(value: float) -> float:
    """A loss to choose by: infinity for a run that diverged. `min` keeps a NaN that is first."""
    return math.inf if math.isnan(value) else value


def linear_weights(model: nn.Module) -> dict[str, Tensor]:
    """Name -> weight (out, in) of each linear layer inside the blocks: all but the output layer."""
    return {
        name: module.weight
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and "lm_head" not in name
    }
