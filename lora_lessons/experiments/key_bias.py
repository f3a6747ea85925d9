"""Lesson 06: the key's bias, which a softmax over keys cancels, and which rotary positions keep."""

from __future__ import annotations

import torch
from torch import Tensor

from ..train.loss import summed_loss
from .lesson06 import kind, load_task


def bias_gradients(
    base: str, dtype: torch.dtype = torch.float64, batch_size: int = 8, length: int = 32
) -> dict[str, float]:
    """Kind of bias -> root mean square of its gradient, for a batch of Moby Dick and the base."""
    task = load_task(base, batch_size, length, valid_blocks=1, dtype=dtype)
    task.model.requires_grad_(True)
    total, labels = summed_loss(task.model, next(iter(task.batches(0))))
    (total / labels).backward()
    squares: dict[str, list[Tensor]] = {}
    for name, parameter in task.model.named_parameters():
        if name.endswith(".bias"):
            squares.setdefault(kind(name), []).append(parameter.grad.double().square())
    return {name: torch.cat(parts).mean().sqrt().item() for name, parts in squares.items()}


def attend(q: Tensor, k: Tensor, v: Tensor, rope: bool = False) -> tuple[Tensor, Tensor]:
    """One head's attention weights (T, T) and output (T, d), for q, k, v (T, d); no mask.

    With `rope`, q and k are turned by an angle that grows with the position (Su et al. 2021).
    """
    if rope:
        q, k = turn(q), turn(k)
    weights = torch.softmax(q @ k.T / q.shape[1] ** 0.5, dim=-1)  # (T, T)
    return weights, weights @ v


def turn(x: Tensor) -> Tensor:
    """Rotary position embedding of x (T, d): entry j and j + d/2 are turned by t 10000^(-2j/d)."""
    half = x.shape[1] // 2
    speed = 10_000.0 ** (-torch.arange(half, dtype=x.dtype) / half)  # (d/2,)
    angle = torch.arange(len(x), dtype=x.dtype).unsqueeze(1) * speed  # (T, d/2)
    first, second = x[:, :half], x[:, half:]
    return torch.cat(
        [
            first * angle.cos() - second * angle.sin(),
            second * angle.cos() + first * angle.sin(),
        ],
        dim=1,
    )
