"""Lesson 04's question with the student's own numbers: the zeros of a mask, and its penalty."""

from __future__ import annotations

from typing import Any

from ..checks.own import Numbers, OwnNumbers, own_exercise
from ..student import Draw

Row = list[int]


def draw(numbers: Draw) -> dict[str, Any]:
    """A batch, an input, a dropout rate; for the penalty one x (3) and one row of the update."""
    return {
        "tokens": numbers.whole(100, 900),
        "in_features": 64 * numbers.whole(2, 40),
        "out_features": 64 * numbers.whole(41, 60),
        "p": numbers.whole(1, 9) / 20,
        "x": numbers.wholes(3, 1, 9),
        "delta": numbers.wholes(3, 1, 9),
    }


def right(
    tokens: int, in_features: int, out_features: int, p: float, x: Row, delta: Row
) -> tuple[float, float]:
    """The expected zeros of the mask, and p / (1 - p) * sum of (x_j delta_j)^2."""
    terms = sum((a * d) ** 2 for a, d in zip(x, delta, strict=True))
    return p * tokens * in_features, p / (1 - p) * terms


def mistakes(
    tokens: int, in_features: int, out_features: int, p: float, x: Row, delta: Row
) -> dict[str, Numbers]:
    """What each mistake gives."""
    products = [a * d for a, d in zip(x, delta, strict=True)]
    terms = sum(product**2 for product in products)
    return {
        "These entries are kept. p is the chance that one is dropped.": (
            (1 - p) * tokens * in_features,
            None,
        ),
        "The mask is on the branch's input, not on its output.": (p * tokens * out_features, None),
        "Each token has a mask of its own: count the entries of all tokens.": (
            p * in_features,
            None,
        ),
        "The factor of the penalty is p / (1 - p): what is kept is scaled up.": (None, p * terms),
        "The factor of the penalty is upside down: it must grow with p.": (
            None,
            (1 - p) / p * terms,
        ),
        "Square each product first, then add: the masks of the features are independent.": (
            None,
            p / (1 - p) * sum(products) ** 2,
        ),
        "The penalty has squares: of x_j, and of the update.": (None, p / (1 - p) * sum(products)),
        "x_j is squared too: the penalty is dearer for a feature that is large.": (
            None,
            p / (1 - p) * sum(d * d for d in delta),
        ),
    }


MY_DROPOUT = own_exercise(
    OwnNumbers(draw, right, mistakes),
    name="my_dropout",
    title="4.7 Your own mask and its penalty",
    points=1,
    minutes=4,
    hints=(
        "The mask has the shape of the branch's input, (tokens, in_features), and is drawn anew "
        "for each entry.",
        "The penalty is the formula of section 3 with one output: column j of the update is the "
        "one number delta[j].",
        "p * tokens * in_features, and p / (1 - p) times the sum of (x[j] * delta[j]) squared.",
    ),
)
