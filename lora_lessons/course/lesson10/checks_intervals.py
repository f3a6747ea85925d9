"""The check of exercise 10.2: the interval of a difference, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist, mean, pstdev, stdev
from typing import Any

import torch

from ..checks.core import Wrong, number
from .checks import items, same, shuffled, spread

T95 = (
    12.7062, 4.30265, 3.18245, 2.77645, 2.57058, 2.44691, 2.36462, 2.30600, 2.26216, 2.22814,
    2.20099, 2.17881,
)  # fmt: skip
"""Student's t for a two-sided 95 % interval, for 1, 2, ... degrees of freedom."""


def check_paired_interval(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """Seeds differ much more than the arms do, as the order of the text makes them."""
    table = dict(enumerate(T95, 1))
    for n, gap in ((5, 0.03), (5, -0.03), (3, 0.02), (8, -0.04)):
        seeds = shuffled(rng, range(60))[:n]
        level = [4 + x for x in spread(rng, n, 0.2)]
        noise = spread(rng, n, 0.01)
        a = {s: v + gap + e for s, v, e in zip(seeds, level, noise, strict=True)}
        b = dict(zip(seeds, level, strict=True))
        other = {s: b[s] for s in [*seeds[1:], seeds[0]]}  # in another order
        given = answer(dict(a), dict(other), dict(table))
        middle, half = map(number, items(given, 2, "(mean difference, half width)"))
        _compare_interval(middle, half, a, other)
    for a, b in _small(rng):
        given = answer(dict(a), dict(b), dict(table))
        middle, half = map(number, items(given, 2, "(mean difference, half width)"))
        _compare_interval(middle, half, a, b)


def _small(rng: torch.Generator) -> list[tuple[dict[int, float], dict[int, float]]]:
    """Two seeds, one of them 0; arms that change places from seed to seed; equal differences."""
    gaps = [0.01 + abs(x) for x in spread(rng, 2, 0.02)]
    two = {7: 4.2 + gaps[0], 0: 4.0 - gaps[1]}, {0: 4.0, 7: 4.2}
    base = dict(enumerate(4 + x for x in spread(rng, 5, 0.02)))
    crossing = {s: v + x for (s, v), x in zip(base.items(), spread(rng, 5, 0.2), strict=True)}
    # eighths: the differences are equal to the last bit
    equal = dict(zip(range(5), (4.25, 4.5, 4.75, 4.125, 4.875), strict=True))
    moved = {s: v + 0.125 * (1 + (s in (1, 4))) for s, v in equal.items()}
    return [two, (crossing, base), (moved, equal)]


def _compare_interval(middle: float, half: float, a: dict[int, float], b: dict[int, float]) -> None:
    gaps = [a[s] - b[s] for s in a]
    n, centre = len(gaps), mean(gaps)
    error = stdev(gaps) / n**0.5
    right = T95[n - 2] * error
    if same(middle, centre - right) and same(half, centre + right):
        raise Wrong("These are the two ends. Return the mean and half of the interval's width.")
    if not same(middle, centre):
        if same(middle, -centre):
            raise Wrong(
                "The sign is wrong: it is a - b, which is above zero where a's losses are higher."
            )
        kept = [gap for seed, gap in zip(a, gaps, strict=True) if seed]
        if len(kept) < n and same(middle, mean(kept)):
            raise Wrong("Seed 0 is left out: it counts as false in `if seed`.")
        if same(middle, mean(set(gaps))):
            raise Wrong("Equal differences are counted once here. Each seed counts.")
        raise Wrong(f"The mean of a - b is {centre:.6g}; got {middle:.6g}.")
    if same(half, right):
        return
    for message, mistaken in _interval_mistakes(a, b, gaps, error, right).items():
        if same(half, mistaken):
            raise Wrong(message)
    raise Wrong(f"Half of the interval is {right:.6g}; got {half:.6g}.")


def _interval_mistakes(
    a: dict[int, float], b: dict[int, float], gaps: list[float], error: float, right: float
) -> dict[str, float]:
    n, t = len(gaps), T95[len(gaps) - 2]
    one, two = list(a.values()), list(b.values())
    by_place = [x - y for x, y in zip(one, two, strict=True)]
    apart = math.hypot(stdev(one), stdev(two)) / n**0.5
    z = NormalDist().inv_cdf(0.975)
    return {
        "This joins the runs by their position. The seeds are the keys: subtract a[seed] - "
        "b[seed].": t * stdev(by_place) / n**0.5,
        "This treats the runs as unrelated. Both arms had the same seeds, which move both alike: "
        "subtract seed by seed first, then take the spread of the differences.": t * apart,
        "This treats the runs as unrelated, with 2n - 2 degrees of freedom. Subtract seed by seed "
        "first.": (T95[2 * n - 3] if 2 * n - 3 < len(T95) else math.nan) * apart,
        "This adds the two arms' own intervals. Whether intervals overlap is no test: take the "
        "interval of the differences.": t * (stdev(one) + stdev(two)) / n**0.5,
        "1.96 is for many runs. With n runs take t[n - 1]: few seeds know their own spread "
        "badly.": 1.96 * error,
        "1.96, or nearly, is for many runs. With n runs take t[n - 1].": z * error,
        "The spread has n - 1 degrees of freedom, not n: t[n - 1].": T95[n - 1] * error,
        "Two runs have a spread too: with n = 2 take t[1].": 0.0,
        "The spread has n - 1 degrees of freedom, not n - 2: t[n - 1].": (
            T95[n - 3] * error if n > 2 else math.nan
        ),
        "The spread divides by n here. A sample's divides by n - 1: statistics.stdev.": (
            t * pstdev(gaps) / n**0.5
        ),
        "This is the interval for one run. The mean of n runs is surer: divide by sqrt(n).": (
            t * stdev(gaps)
        ),
        "This divides by n. The mean's spread is the runs' spread divided by sqrt(n).": (
            t * stdev(gaps) / n
        ),
        "This divides by sqrt(n - 1). The mean of n runs has the spread of one over sqrt(n).": (
            t * stdev(gaps) / (n - 1) ** 0.5
        ),
        "There are n differences, so n - 1 degrees of freedom, and not 2n - 2.": (
            T95[2 * n - 3] * error if 2 * n - 3 < len(T95) else math.nan
        ),
        "This is the last factor of the table. Take t[n - 1].": T95[-1] * error,
        "This is the first factor of the table. Take t[n - 1].": T95[0] * error,
        "This is the standard error. Multiply it by t[n - 1].": error,
        "This is the standard deviation of the differences. Multiply it by t[n - 1] and divide by "
        "sqrt(n).": stdev(gaps),
        "This is the whole width. Return half of it.": 2 * right,
        "This squares the spread: take the standard deviation, not the variance.": (
            t * stdev(gaps) ** 2 / n**0.5
        ),
        "This is the spread of a alone.": t * stdev(one) / n**0.5,
    }
