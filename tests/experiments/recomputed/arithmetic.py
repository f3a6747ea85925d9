"""The paired t-test and Holm's correction, written a second time and in other ways.

The package sums Student's t in closed form. Here it is the incomplete beta function's continued
fraction, P(|T| > t) = I_x(df / 2, 1 / 2) with x = df / (df + t^2); Holm's p is its definition, with
no sorting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

Arm = Mapping[int, float]


class Paired(NamedTuple):
    """A paired comparison: the mean of first - second, half its 95 % interval, and p."""

    mean: float
    half: float
    p: float
    seeds: int


def outside(t: float, df: int) -> float:
    """P(|T| > t) for Student's t with `df` degrees of freedom."""
    x = df / (df + t * t)
    a, b = df / 2, 0.5
    if x > (a + 1) / (a + b + 2):  # the fraction converges quickly on the other side only
        return 1 - _beta(1 - x, b, a)
    return _beta(x, a, b)


@cache
def quantile(df: int, beyond: float = 0.05) -> float:
    """The t with P(|T| > t) = `beyond`, by halving."""
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if outside(middle, df) > beyond else (low, middle)
    return middle


def paired(first: Arm, second: Arm) -> Paired:
    """The paired t-test of two arms that share their seeds."""
    assert set(first) == set(second), "the arms must share their seeds"
    seeds = sorted(first)
    d = np.array([first[seed] - second[seed] for seed in seeds], dtype=np.float64)
    error = float(np.std(d, ddof=1)) / math.sqrt(len(d))
    middle = float(np.mean(d))
    p = outside(abs(middle) / error, len(d) - 1) if error else float(middle == 0)
    return Paired(middle, quantile(len(d) - 1) * error, p, len(d))


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's p of each: the largest of q x #{p >= q} over the family's q up to it, 1 at most."""
    return [min(1.0, max(q * sum(r >= q for r in ps) for q in ps if q <= p)) for p in ps]


def _beta(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function I_x(a, b), by its continued fraction."""
    if x <= 0:
        return 0.0
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
        + a * math.log(x) + b * math.log1p(-x)
    )  # fmt: skip
    fraction = 1.0
    for m in range(200, 0, -1):  # from the inside out
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        fraction = 1 + even / (1 + odd / fraction)
    first = -(a + b) * x / (a + 1)
    return front / (a * (1 + first / fraction))
