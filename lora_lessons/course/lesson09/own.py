"""Lesson 09's question with the student's own numbers: two merges into one bfloat16 weight."""

from __future__ import annotations

import torch

from ..checks.own import Numbers, OwnNumbers, own_exercise
from ..student import Draw


def draw(numbers: Draw) -> dict[str, float]:
    """A bfloat16 weight and two updates, in which one rounding and two end in different values.

    A weight m * 2^-e with m from 128 to 255 has its neighbours 2^-e away. Two updates of a third of
    that are lost one by one, and together they move it by one; of two thirds, each moves it by one.
    """
    gap = 2.0 ** -numbers.whole(5, 13)
    sign = 1 - 2 * numbers.whole(0, 1)
    low, high = [(30, 40), (60, 70)][numbers.whole(0, 1)]
    first, second = (share / 100 * gap for share in numbers.wholes(2, low, high))
    return {
        "weight": sign * numbers.whole(131, 252) * gap,
        "update_1": float(f"{sign * first:.4g}"),
        "update_2": float(f"{sign * second:.4g}"),
    }


def _bfloat16(number: float) -> float:
    return torch.tensor(number, dtype=torch.float64).bfloat16().item()


def right(weight: float, update_1: float, update_2: float) -> tuple[float, float]:
    """The weight after both updates at once, and after one and then the other."""
    one_by_one = _bfloat16(_bfloat16(weight + update_1) + update_2)
    return _bfloat16(weight + update_1 + update_2), one_by_one


def mistakes(weight: float, update_1: float, update_2: float) -> dict[str, Numbers]:
    """What each mistake gives."""
    together, one_by_one = right(weight, update_1, update_2)
    exact = weight + update_1 + update_2
    return {
        "This is the exact sum. Stored in bfloat16 it is rounded.": (exact, None),
        "One by one, each merge ends in bfloat16: round after the first one too.": (None, exact),
        "The two are the wrong way round: both updates at once first.": (one_by_one, together),
        "The two ways do not end in the same value: round twice in the second.": (
            together,
            together,
        ),
        "The two ways do not end in the same value: round once in the first.": (
            one_by_one,
            one_by_one,
        ),
    }


MY_MERGE = own_exercise(
    OwnNumbers(draw, right, mistakes),
    name="my_merge",
    title="9.9 A merge of your own",
    points=1,
    minutes=4,
    hints=(
        "torch.tensor(number).bfloat16().item() rounds a number to bfloat16.",
        "At once: add both updates in float32, then round. One by one: round after the first "
        "update, add the second to what came out, round again.",
        "first = torch.tensor(weight + update_1).bfloat16().item(), then the same for first + "
        "update_2: that is the second number. Write down all the digits that are printed.",
    ),
)
