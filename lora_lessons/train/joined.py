"""A LoRA product that passes over the wide side of its layer once.

h = x W' + t B' with the thin product t = x A'. Adding the second term to the first reads and writes
all of h again, and h may be eight times as wide as x. But a sum of products is one product of
joined matrices: [x t] [W B]', which costs a copy of x instead. So where a layer's output is wider
than its input, x is joined with t in the forward pass; where it is narrower, dL/dx = g W + u A with
u = g B is wide, and g is joined with u in the backward pass: [g u] [W; A].

`WB` (out, in + r) and `WA` (out + r, in) hold W and a copy of B or A; who updates B or A renews it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


class WideProduct(torch.autograd.Function):
    """h = x W' + b + (dropout(x) A' + c) B' for x (N, in), by [x t] [W B]' + b.

    W, b and c (r,) are frozen. B (out, r) is given for its gradient; its values are read from WB.
    """

    @staticmethod
    def forward(ctx, x, A, B, WB, b, c, p):
        dropped, mask = dropout(x, p)
        thin = F.linear(dropped, A, c)  # (N, r)
        joined = torch.cat([x, thin], dim=1)  # (N, in + r)
        ctx.save_for_backward(joined, mask, A, WB)
        ctx.p = p
        return F.linear(joined, WB, b)

    @staticmethod
    def backward(ctx, g):
        joined, mask, A, WB = ctx.saved_tensors
        x, thin = joined.split([A.shape[1], A.shape[0]], dim=1)
        dx, u = torch.mm(g, WB).split([A.shape[1], A.shape[0]], dim=1)  # g W and g B
        dA = torch.mm(u.t(), masked(x, mask, ctx.p))
        dB = torch.mm(g.t(), thin)
        dropped_out = mask is not None
        dx = dx + masked(torch.mm(u, A), mask, ctx.p) if dropped_out else plus_product(dx, u, A)
        return dx, dA, dB, None, None, None, None


class NarrowProduct(torch.autograd.Function):
    """The same function for out < in, by dL/dx = [g u] [W; A]."""

    @staticmethod
    def forward(ctx, x, A, B, WA, b, c, p):
        dropped, mask = dropout(x, p)
        thin = F.linear(dropped, A, c)  # (N, r)
        ctx.save_for_backward(x, mask, thin, A, B, WA)
        ctx.p = p
        return plus_product(F.linear(x, WA[: len(B)], b), thin, B.t())

    @staticmethod
    def backward(ctx, g):
        x, mask, thin, A, B, WA = ctx.saved_tensors
        u = torch.mm(g, B)  # (N, r)
        dA = torch.mm(u.t(), masked(x, mask, ctx.p))
        dB = torch.mm(g.t(), thin)
        if mask is None:
            dx = torch.mm(torch.cat([g, u], dim=1), WA)  # (N, in)
        else:
            dx = torch.mm(g, WA[: len(B)]) + masked(torch.mm(u, A), mask, ctx.p)
        return dx, dA, dB, None, None, None, None


def dropout(x: Tensor, p: float) -> tuple[Tensor, Tensor | None]:
    """Dropped-out x, and which numbers were kept (None: all)."""
    return torch.native_dropout(x, p, True) if p > 0 else (x, None)


def masked(x: Tensor, mask: Tensor | None, p: float) -> Tensor:
    """x with the numbers dropped that `mask` says, and the others made larger for it."""
    return x if mask is None else x * mask / (1 - p)


def plus_product(result: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """result + left right: in place, or as a sum that a compiler joins to what follows."""
    if torch.compiler.is_compiling():
        return result + torch.mm(left, right)
    return result.addmm_(left, right)
