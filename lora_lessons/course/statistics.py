"""Small-sample statistics for the figures: the mean of a few seeds and its 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean, stdev

# Student's t, two-sided 95 %, for 1 to 9 degrees of freedom
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def half_width95(values: Sequence[float]) -> float:
    """Half of the 95 % interval of the mean, t s / sqrt(n); 0 for a single value."""
    n = len(values)
    if n < 2:
        return 0.0
    t = T95[n - 2] if n - 2 < len(T95) else 1.96
    return t * stdev(values) / math.sqrt(n)


def interval95(values: Sequence[float]) -> tuple[float, float]:
    """(low, high): the 95 % interval of the mean of a few runs."""
    half = half_width95(values)
    return mean(values) - half, mean(values) + half
