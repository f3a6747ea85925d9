"""Matrices of low rank: how many numbers they take, and the best one near a given matrix."""

from __future__ import annotations

import torch
from torch import Tensor


def parameter_count(in_: int, out_: int, r: int) -> int:
    """Parameters of A (r x in) and B (out x r) together: r (in + out)."""
    return r * (in_ + out_)


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
