"""Lesson 01's question with the student's own numbers: the rank that a budget allows."""

from __future__ import annotations

from ..checks.own import Numbers, OwnNumbers, own_exercise
from ..student import Draw


def draw(numbers: Draw) -> dict[str, int]:
    """A layer, and how much of its size its adapter may have."""
    return {
        "out_features": numbers.whole(600, 6000),
        "in_features": numbers.whole(600, 6000),
        "percent": numbers.whole(2, 19),
    }


def right(out_features: int, in_features: int, percent: int) -> tuple[int]:
    """The numbers that B and A hold at the largest rank within the budget."""
    one_rank = out_features + in_features
    return (percent * out_features * in_features // (100 * one_rank) * one_rank,)


def mistakes(out_features: int, in_features: int, percent: int) -> dict[str, Numbers]:
    """What each mistake gives."""
    one_rank, whole = out_features + in_features, out_features * in_features
    r = percent * whole // (100 * one_rank)
    return {
        "This is the rank. The question is how many numbers B and A hold at it.": (r,),
        "With these the layer would have more than its budget: round the rank down.": (
            (r + 1) * one_rank,
        ),
        "This is the budget itself. A rank is a whole number, so B and A hold a little less.": (
            percent * whole / 100,
        ),
        "The budget is a percentage of W. This is the rank that saves at all, without one.": (
            whole // one_rank * one_rank,
        ),
        "This is B alone. A holds r * in numbers too.": (r * out_features,),
        "This is A alone. B holds out * r numbers too.": (r * in_features,),
    }


MY_BUDGET = own_exercise(
    OwnNumbers(draw, right, mistakes),
    name="my_budget",
    title="1.8 What your budget buys",
    points=1,
    minutes=3,
    hints=(
        "One rank more adds one column to B and one row to A: out + in numbers.",
        "The budget is percent / 100 * out * in. How often does out + in go into it?",
        "r = percent * out * in // (100 * (out + in)); then r * (out + in).",
    ),
)
