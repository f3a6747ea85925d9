"""The loss of a language model on held-out text."""

from __future__ import annotations

import torch
from torch import nn

from .loss import is_causal_lm, token_losses, unwrap
from .modes import evaluation_mode
from .optim import autocast, device_of
from .vocabulary import Vocabulary


def evaluate(
    model: nn.Module, blocks: torch.Tensor, batch_size: int = 32, precision: str = "auto"
) -> float:
    """Mean loss in nats per predicted token over `blocks` (n, T), in evaluation mode.

    Every block predicts its T - 1 later tokens from the ones before. The model's mode and the
    random state are as before afterwards.
    """
    if not isinstance(blocks, torch.Tensor) or blocks.is_floating_point():
        kind = getattr(blocks, "dtype", type(blocks).__name__)
        raise TypeError(f"blocks must be a tensor of token ids, or valid a function, got {kind}")
    if blocks.ndim != 2 or not len(blocks) or blocks.shape[1] < 2:
        shape = tuple(blocks.shape)
        raise ValueError(f"blocks must be (n, T) with n >= 1 and T >= 2, got {shape}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if hasattr(unwrap(model), "config") and not is_causal_lm(model):
        raise TypeError(
            f"blocks of text score a causal language model, and this is a "
            f"{type(unwrap(model)).__name__}: pass valid=function, which takes the model and "
            "returns its loss"
        )
    Vocabulary(model).require_known(blocks, "blocks")
    device = device_of(model)
    total = torch.zeros((), dtype=torch.float64, device=device)
    with evaluation_mode(model), autocast(device, precision):
        for chunk in blocks.split(batch_size):
            ids = chunk.to(device)
            total += token_losses(model, ids, input_ids=ids).sum()
    return (total / (blocks.shape[0] * (blocks.shape[1] - 1))).item()
