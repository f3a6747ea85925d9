"""What the checks draw their inputs by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch

T = TypeVar("T")


def whole(rng: torch.Generator, low: int, high: int) -> int:
    """A whole number from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=rng))


def shuffled(rng: torch.Generator, items: Sequence[T]) -> list[T]:
    """The same things in another order."""
    return [items[i] for i in torch.randperm(len(items), generator=rng).tolist()]
