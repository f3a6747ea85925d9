"""Lesson 10's question with the student's own numbers: the cheapest adapter that is good enough."""

from __future__ import annotations

import math
from statistics import mean, pstdev, stdev
from typing import Any

from ..checks.own import Numbers, OwnNumbers, own_exercise
from ..student import Draw

SEEDS, T = 5, 2.77645
BYTES = 4  # float32
NAMES = "ABCDE"

Arms = dict[str, dict[str, Any]]


def draw(numbers: Draw) -> dict[str, Any]:
    """Five adapters with the losses of five seeds, and how many bytes the file may have.

    By size: some that are clearly worse, some within the noise of the best, the best that fits,
    and a better one that does not fit.
    """
    width = 64 * numbers.whole(100, 180)  # in + out, over all targets
    ranks = [numbers.whole(2, 3), numbers.whole(5, 7), numbers.whole(9, 12)]
    ranks += [numbers.whole(16, 24), numbers.whole(32, 48)]
    enough = numbers.whole(1, 2)
    level = numbers.wholes(SEEDS, 3900, 4200)
    losses = []
    for place in range(len(ranks)):
        worse = numbers.whole(30, 60) if place < enough else numbers.whole(1, 3)
        worse = {3: 0, 4: -numbers.whole(40, 70)}.get(place, worse)
        noise = [0] * SEEDS if place == 3 else _balanced(numbers)
        losses.append([v + worse + e for v, e in zip(level, noise, strict=True)])
    left, order = list(range(len(ranks))), []
    while left:
        order.append(left.pop(numbers.whole(0, len(left) - 1)))
    return {
        "most_bytes": BYTES * width * (ranks[3] + numbers.whole(1, 6)),
        "in_plus_out": width,
        "adapters": {
            name: {"r": ranks[i], "losses": [v / 1000 for v in losses[i]]}
            for name, i in zip(NAMES, order, strict=True)
        },
    }


def _balanced(numbers: Draw) -> list[int]:
    """Five differences that add up to zero, in any order."""
    u, v, turn = numbers.whole(4, 9), numbers.whole(2, 6), numbers.whole(0, 4)
    noise = [u, -v, -u, v, 0]
    return noise[turn:] + noise[:turn]


def _gaps(one: list[float], other: list[float]) -> list[float]:
    return [a - b for a, b in zip(one, other, strict=True)]


def _half(gaps: list[float]) -> float:
    return T * stdev(gaps) / SEEDS**0.5


def _size(in_plus_out: int, adapter: dict[str, Any]) -> int:
    return BYTES * in_plus_out * adapter["r"]


def _choose(most_bytes: int, in_plus_out: int, adapters: Arms) -> tuple[str, str]:
    """(the cheapest that is good enough, the best that fits)."""
    fit = {n: a for n, a in adapters.items() if _size(in_plus_out, a) <= most_bytes}
    best = min(fit, key=lambda name: mean(fit[name]["losses"]))
    for name in sorted(fit, key=lambda name: fit[name]["r"]):
        gaps = _gaps(fit[name]["losses"], fit[best]["losses"])
        if mean(gaps) - _half(gaps) <= 0:
            return name, best
    return best, best


def right(most_bytes: int, in_plus_out: int, adapters: Arms) -> tuple[int, float]:
    """The chosen adapter's bytes, and the upper end of its interval less the best's."""
    name, best = _choose(most_bytes, in_plus_out, adapters)
    gaps = _gaps(adapters[name]["losses"], adapters[best]["losses"])
    return _size(in_plus_out, adapters[name]), mean(gaps) + _half(gaps)


def mistakes(most_bytes: int, in_plus_out: int, adapters: Arms) -> dict[str, Numbers]:
    """What each mistake gives."""
    name, best = _choose(most_bytes, in_plus_out, adapters)
    mine, against = adapters[name]["losses"], adapters[best]["losses"]
    gaps = _gaps(mine, against)
    middle, error = mean(gaps), stdev(gaps) / SEEDS**0.5
    by_rank = sorted(adapters, key=lambda arm: adapters[arm]["r"])
    size = {arm: _size(in_plus_out, adapters[arm]) for arm in adapters}
    return {
        "This adapter is the best that fits. A smaller one is within its noise.": (
            size[best], None,
        ),
        "This file is larger than it may be.": (size[by_rank[-1]], None),
        "This is the smallest file of all. Its loss is higher by more than the interval. Did you "
        "take the interval of the differences, seed by seed?": (size[by_rank[0]], None),
        "This counts numbers. A float32 has four bytes.": (size[name] // BYTES, None),
        "This is the rank. The file holds r (in + out) numbers, of four bytes each.": (
            adapters[name]["r"], None,
        ),
        "This is the mean difference. Add half of its interval.": (None, middle),
        "This is half of the interval. Add it to the mean difference.": (None, T * error),
        "This is the lower end of the interval. The upper end says how much may be lost.": (
            None, middle - T * error,
        ),
        "1.96 is for many runs. Five have four degrees of freedom, t = 2.776.": (
            None, middle + 1.96 * error,
        ),
        "This is the interval for one run: the mean of five is surer, by sqrt(5).": (
            None, middle + T * stdev(gaps),
        ),
        "A sample's spread divides by n - 1: statistics.stdev.": (
            None, middle + T * pstdev(gaps) / SEEDS**0.5,
        ),
        "The runs share their seeds: take the spread of the differences.": (
            None, middle + T * math.hypot(stdev(mine), stdev(against)) / SEEDS**0.5,
        ),
    }  # fmt: skip


MY_CHOICE = own_exercise(
    OwnNumbers(draw, right, mistakes),
    name="my_choice",
    title="10.4 Your own choice",
    points=2,
    minutes=7,
    hints=(
        "A file holds r times in_plus_out numbers of four bytes. Which of the five fit? Which of "
        "these has the lowest mean loss?",
        "For each smaller one that fits: its losses less the best's, seed by seed, and the "
        "interval of their mean, with t[4] = 2.77645. It is good enough if the lower end is not "
        "above 0.",
        "Take the smallest that is good enough: 4 * r * in_plus_out, and mean + t[4] * stdev / "
        "sqrt(5) of its differences, in nats with five digits.",
    ),
)
