"""The loss of a large vocabulary without holding all its logits.

Logits (N, V) are the largest tensor of a small model's step: 16,384 tokens times 128,256 classes
are 8 GB in float32, and autograd keeps several of them. But the gradient with respect to a hidden
state needs only its own row of logits, so rows are done in chunks, and what is kept of each chunk
is the loss and the gradient of the hidden states (N, hidden). Each logit is computed once: the
gradient comes in the forward pass (Hsu et al. 2024, "Liger Kernel", section 3.2).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

# elements of a chunk of logits: what fits a CPU cache; 256 MB of bf16
CHUNK_ELEMENTS = {"cpu": 2**19, "cuda": 2**27}


def linear_cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, ignored: int = -100
) -> torch.Tensor:
    """-log softmax(hidden W')[target] for each row, 0 where the target is ignored.

    hidden (N, h), weight (V, h) of a frozen head, targets (N,). Returns (N,) in float32 (float64
    for float64). No gradient reaches `weight`.
    """
    if weight.requires_grad and torch.is_grad_enabled():
        raise ValueError(
            "linear_cross_entropy is for a frozen head; this weight requires a gradient"
        )
    return _ChunkedLoss.apply(hidden, weight, targets, ignored)


class _ChunkedLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, ignored: int
    ) -> torch.Tensor:
        needs_gradient = ctx.needs_input_grad[0]
        rows = rows_at_once(hidden, len(weight))
        pieces = [
            chunk(h, weight, t, ignored, needs_gradient)
            for h, t in zip(hidden.split(rows), targets.split(rows), strict=True)
        ]
        if needs_gradient:
            ctx.save_for_backward(torch.cat([gradient for _, gradient in pieces]))
        return torch.cat([losses for losses, _ in pieces])

    @staticmethod
    def backward(ctx: Any, grad_losses: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors  # (N, h), of each row's own loss
        return (gradient * grad_losses.unsqueeze(1)).to(gradient.dtype), None, None, None


def rows_at_once(hidden: torch.Tensor, classes: int) -> int:
    """Rows of a chunk: all, half, a quarter and so on, so that chunks are alike if they can be."""
    budget = CHUNK_ELEMENTS.get(hidden.device.type, 2**24)
    rows = len(hidden)
    while rows > 1 and rows * classes > budget:
        rows = (rows + 1) // 2
    return rows


class Chunk(nn.Module):
    """Losses (n,) and d loss / d hidden (n, h) of some rows. A module, so that it can be compiled.

    d loss / d logits = p - 1 at the target and p elsewhere. p - 1 is made from log p in float32:
    near p = 1 it would be all rounding error in bf16.
    """

    def forward(
        self,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        ignored: int,
        needs_gradient: bool,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The summed loss and, if it is needed, its gradient by the hidden states."""
        logits = F.linear(hidden, weight)  # (n, V)
        exact = torch.float64 if logits.dtype == torch.float64 else torch.float32
        counted = targets != ignored
        index = torch.where(counted, targets, 0).unsqueeze(1)  # (n, 1)
        log_p = torch.log_softmax(logits, dim=1, dtype=exact).gather(1, index)  # (n, 1)
        losses = torch.where(counted, -log_p.squeeze(1), 0.0)
        if not needs_gradient:
            return losses, None
        p = torch.softmax(logits, dim=1)
        difference = p.scatter_(1, index, torch.expm1(log_p).to(p.dtype))  # (n, V)
        gradient = torch.mm(difference, weight.to(p.dtype)).to(hidden.dtype)  # (n, h)
        return losses, gradient * counted.unsqueeze(1)


chunk = Chunk()
