"""Merging tensors so that tasks disturb each other less: TIES, DARE and magnitude pruning."""

from __future__ import annotations

import torch
from torch import Tensor

# method -> (how tensors are made sparse, whether a majority elects each entry's sign)
MERGES = {
    "ties": ("magnitude", True),  # Yadav et al. 2023
    "dare_ties": ("random", True),  # Yu et al. 2023
    "dare_linear": ("random", False),
    "magnitude_prune": ("magnitude", False),
}


def merge_tensors(
    method: str,
    tensors: list[Tensor],
    weights: list[float],
    density: float,
    majority_sign_method: str = "total",
) -> Tensor:
    """The weighted merge of tensors of one shape, of which a share `density` is kept."""
    pruning, elects = MERGES[method]
    prune = keep_largest if pruning == "magnitude" else keep_at_random
    sparse = torch.stack([prune(tensor, density) for tensor in tensors])  # (tasks, ...)
    factors = sparse.new_tensor(weights).view(-1, *[1] * (sparse.ndim - 1))
    if not elects:
        return (sparse * factors).sum(0)
    agrees = majority_sign(sparse, majority_sign_method)
    return (sparse * factors * agrees).sum(0) / agrees.sum(0).clamp(min=1)


def keep_largest(tensor: Tensor, density: float) -> Tensor:
    """The share of largest magnitude; zeros elsewhere."""
    count = int(density * tensor.numel())
    mask = torch.zeros_like(tensor).flatten()
    mask[tensor.abs().flatten().topk(count).indices] = 1
    return tensor * mask.view_as(tensor)


def keep_at_random(tensor: Tensor, density: float) -> Tensor:
    """A random share, scaled up so that the mean stays."""
    return tensor * torch.bernoulli(torch.full_like(tensor, density)) / density


def majority_sign(tensors: Tensor, method: str = "total") -> Tensor:
    """Where each tensor has the sign that most have: by size ("total") or count ("frequency")."""
    if method not in ("total", "frequency"):
        raise ValueError(f'majority_sign_method must be "total" or "frequency", got {method!r}')
    signs = tensors.sign()
    votes = tensors.sum(0) if method == "total" else signs.sum(0)
    return signs == torch.where(votes >= 0, 1, -1)
