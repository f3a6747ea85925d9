"""LoRA as plain arithmetic on tensors: no modules, no state.

Shapes follow `torch.nn.Linear`: a weight W is (out, in), the down-projection A is (r, in)
and the up-projection B is (out, r).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
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


def lora_forward(
    x: Tensor, W: Tensor, b: Tensor | None, A: Tensor, B: Tensor, scaling: float
) -> Tensor:
    """The layer's output h = W x + b + scaling · B A x.

    x is (..., in), the result (..., out). Two thin products, x Aᵀ and then Bᵀ, cost
    r (in + out) multiplications a row; forming B A first would cost as much as W itself.
    """
    base = F.linear(x, W, b)  # (..., in) -> (..., out)
    down = F.linear(x, A)  # (..., in) -> (..., r)
    return base + scaling * F.linear(down, B)  # (..., r) -> (..., out)


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor without its gradient, in float32 unless it is wider."""
    tensor = tensor.detach()
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def parameter_count(in_: int, out_: int, r: int) -> int:
    """Parameters of A (r x in) and B (out x r) together: r (in + out)."""
    return r * (in_ + out_)


def break_even_rank(in_: int, out_: int) -> int:
    """The largest rank at which A and B hold no more parameters than W.

    r (in + out) <= in · out, so r = floor(in · out / (in + out)): half the width of a
    square matrix.
    """
    return in_ * out_ // (in_ + out_)


def truncate(W: Tensor, k: int) -> Tensor:
    """The best approximation of W of rank k, in the Frobenius norm (Eckart and Young 1936).

    Keeps the k largest singular values: W_k = U[:, :k] diag(S[:k]) V[:, :k]ᵀ.
    """
    _check_rank(W, k, smallest=0)
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return (U[:, :k] * S[:k]) @ Vh[:k]  # (out, k) @ (k, in) -> (out, in)


def factor(W: Tensor, r: int) -> tuple[Tensor, Tensor]:
    """Factors (B, A) with B A = truncate(W, r); each takes the root of the singular values.

    B is (out, r), A is (r, in). The split is one of many: (B R, R⁻¹ A) gives the same product.
    """
    _check_rank(W, r, smallest=1)
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    root = S[:r].sqrt()
    return U[:, :r] * root, root[:, None] * Vh[:r]


def _check_rank(W: Tensor, r: int, smallest: int) -> None:
    """Raise unless W is a matrix that has a rank-r approximation."""
    if W.ndim != 2:
        raise ValueError(f"a matrix is needed, and the tensor has shape {tuple(W.shape)}")
    if not smallest <= r <= min(W.shape):
        raise ValueError(f"the rank must lie in {smallest}..{min(W.shape)}, and it is {r}")
