"""Orthogonal initialisation: A and B both start away from zero, and B A is zero all the same."""

from __future__ import annotations

import torch
from torch import Tensor


def orthogonal_factors(in_features: int, out_features: int, r: int) -> tuple[Tensor, Tensor]:
    """(B, A) whose inner spaces are orthogonal, so that B A = 0; r must be even.

    The rows of one random orthogonal (r, r) matrix are shared out: A gets every second one, B the
    others. Source: datta0.github.io/posts/rethink-lora-init.
    """
    if r % 2:
        raise ValueError(f"Orthogonal initialization requires the LoRA rank to be even, got {r}")
    Q, _ = torch.linalg.qr(torch.randn(r, r))
    A = (torch.randn(in_features, r // 2) @ Q[0::2]).T / 10  # (r, in)
    B = torch.randn(r // 2, out_features).T @ Q[1::2] / 10  # (out, r)
    return B, A
