"""Lesson 13's question with the student's own numbers: which variant can be judged, and how."""

from __future__ import annotations

import math
from statistics import mean, pstdev, stdev
from typing import Any

from ..checks.own import Numbers, OwnNumbers, own_exercise
from ..student import Draw

PLAIN, VARIANTS = "LoRA", ("P", "Q")
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
SEEDS, T = 5, 2.77645

Runs = dict[str, dict[str, list[list[float]]]]
"""Arm -> "tuning" (two losses a rate) and "fresh" (five losses a rate)."""


def draw(numbers: Draw) -> dict[str, Any]:
    """Losses of plain LoRA and two variants at five rates, on two tuning and five fresh seeds.

    One variant has its best rate inside the grid, beside that of plain LoRA. The other's is at an
    edge. At one rate of the first, a tuning run is lucky.
    """
    plain = numbers.whole(1, 3)
    inside = 2 if plain != 2 else (1, 3)[numbers.whole(0, 1)]
    edge = (0, len(RATES) - 1)[numbers.whole(0, 1)]
    order = VARIANTS if numbers.whole(0, 1) else VARIANTS[::-1]
    level = numbers.wholes(SEEDS, 3900, 4100)
    shift = {PLAIN: 0, order[0]: numbers.whole(-9, -4), order[1]: numbers.whole(-25, -15)}
    best = {PLAIN: plain, order[0]: inside, order[1]: edge}
    runs = {arm: _arm(numbers, level, best[arm], shift[arm]) for arm in (PLAIN, *VARIANTS)}
    mine, others = runs[order[0]], runs[PLAIN]["fresh"][plain]
    mine["fresh"][inside] = [
        round(loss + (shift[order[0]] + noise) / 1000, 3)
        for loss, noise in zip(others, _balanced(numbers), strict=True)
    ]
    mine["tuning"][inside] = [round(loss - 0.02, 3) for loss in mine["tuning"][inside]]
    mine["tuning"][plain] = [3.79, 4.35][:: (1, -1)[numbers.whole(0, 1)]]  # one lucky run
    return {"runs": runs}


def _balanced(numbers: Draw) -> list[int]:
    """Five differences that add up to zero, in any order."""
    u, v, turn = numbers.whole(4, 9), numbers.whole(2, 6), numbers.whole(0, 4)
    noise = [u, -v, -u, v, 0]
    return noise[turn:] + noise[:turn]


def _arm(numbers: Draw, level: list[int], best: int, shift: int) -> dict[str, list[list[float]]]:
    """One arm: losses in nats, higher by the distance from its best rate."""
    tuning, fresh = [], []
    for place in range(len(RATES)):
        away = shift + (0, 45, 120, 260, 500)[abs(place - best)]
        tuning.append([(3980 + away + noise) / 1000 for noise in numbers.wholes(2, -8, 8)])
        noise = numbers.wholes(SEEDS, -7, 7)
        fresh.append([(v + away + e) / 1000 for v, e in zip(level, noise, strict=True)])
    return {"tuning": tuning, "fresh": fresh}


def chosen(runs: Runs, arm: str) -> int:
    """The place of the rate with the lowest mean loss on the tuning seeds."""
    means = [mean(losses) for losses in runs[arm]["tuning"]]
    return means.index(min(means))


def judged(runs: Runs) -> str:
    """The variant whose best rate lies inside the grid."""
    edges = (0, len(RATES) - 1)
    return next(arm for arm in VARIANTS if chosen(runs, arm) not in edges)


def _gaps(runs: Runs, arm: str, place: int, plain: int, seeds: str = "fresh") -> list[float]:
    one, other = runs[arm][seeds][place], runs[PLAIN][seeds][plain]
    return [a - b for a, b in zip(one, other, strict=True)]


def right(runs: Runs) -> tuple[float, float, float]:
    """The judged variant's rate, and the interval of its difference from LoRA: mean, half width."""
    arm = judged(runs)
    gaps = _gaps(runs, arm, chosen(runs, arm), chosen(runs, PLAIN))
    return RATES[chosen(runs, arm)], mean(gaps), T * stdev(gaps) / SEEDS**0.5


def mistakes(runs: Runs) -> dict[str, Numbers]:
    """What each mistake gives."""
    arm = judged(runs)
    other = next(v for v in VARIANTS if v != arm)
    place, plain = chosen(runs, arm), chosen(runs, PLAIN)
    gaps = _gaps(runs, arm, place, plain)
    error = stdev(gaps) / SEEDS**0.5
    singles = [min(losses) for losses in runs[arm]["tuning"]]
    both = runs[arm]["fresh"][place], runs[PLAIN]["fresh"][plain]
    at_edge = _gaps(runs, other, chosen(runs, other), plain)
    return {
        "This is the rate of the best single run. Average the two tuning seeds first.": (
            RATES[singles.index(min(singles))], None, None,
        ),
        "This variant's best rate is the lowest or the highest that was tried: its best may lie "
        "outside, so it cannot be judged.": (RATES[chosen(runs, other)], None, None),
        "This is the rate of plain LoRA. Each arm has its own.": (RATES[plain], None, None),
        "This compares both at the rate of plain LoRA. Each arm goes to its own best rate.": (
            None, mean(_gaps(runs, arm, plain, plain)), None,
        ),
        "This compares both at the variant's rate. Plain LoRA goes to its own best rate.": (
            None, mean(_gaps(runs, arm, place, place)), None,
        ),
        "The sign is turned: the variant's loss less LoRA's.": (None, -mean(gaps), None),
        "This is the difference on the tuning seeds, on which the rates were chosen.": (
            None, mean(_gaps(runs, arm, place, plain, "tuning")), None,
        ),
        "This is the variant whose best rate lies at the edge.": (None, mean(at_edge), None),
        "1.96 is for many runs. Five have four degrees of freedom, t = 2.776.": (
            None, None, 1.96 * error,
        ),
        "This is the interval for one run: the mean of five is surer, by sqrt(5).": (
            None, None, T * stdev(gaps),
        ),
        "A sample's spread divides by n - 1: statistics.stdev.": (
            None, None, T * pstdev(gaps) / SEEDS**0.5,
        ),
        "The runs share their seeds: take the spread of the differences.": (
            None, None, T * math.hypot(*map(stdev, both)) / SEEDS**0.5,
        ),
        "This is the standard error. Half of the interval is t times that.": (None, None, error),
        "This is the whole interval. Give half of it.": (None, None, 2 * T * error),
    }  # fmt: skip


MY_VERDICT = own_exercise(
    OwnNumbers(draw, right, mistakes),
    name="my_verdict",
    title="13.6 A verdict of your own",
    points=2,
    minutes=7,
    hints=(
        "For each arm: average the two tuning seeds at each rate. The lowest average names its "
        "rate. Which variant's rate is neither the lowest nor the highest tried?",
        "Take the five fresh losses of that variant at its rate, and those of LoRA at LoRA's own "
        "rate. Subtract seed by seed.",
        "Return the variant's rate, statistics.mean(gaps), and 2.77645 * statistics.stdev(gaps) / "
        "5 ** 0.5, in nats with five digits.",
    ),
)
