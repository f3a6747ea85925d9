"""Inputs at the edges for each exercise, and what is right for them, by arithmetic of its own.

`EDGES[name]` of a lesson's module is an `Edge`: a strategy of arguments, and what the solution must
return for them. A generator within the arguments is made from a drawn seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

SEEDS = st.integers(0, 2**31)


@dataclass(frozen=True)
class Edge:
    """`arguments` draws a tuple; `expected` returns what is right for it, or raises what is."""

    arguments: st.SearchStrategy[tuple[Any, ...]]
    expected: Callable[..., Any]


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal numbers of a seed; each seed that 5 divides gives zeros."""
    gen = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=gen).to(dtype) * (seed % 5 > 0)


def whole(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(low, high)


def positive(low: float = 0.01, high: float = 100.0) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_subnormal=False)
